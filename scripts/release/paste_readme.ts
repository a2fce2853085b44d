/**
 * `node scripts/run_ts.mjs scripts/release/paste_readme.ts`: does what a new user does. README, as it is in the packed package, is followed in an empty folder: its line of
 * installation, with the file of the package in the place of its name, then each of its programs, which has to print what its comments say.
 */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { programsOf } from '../../tests/docs/pages.ts';

const folder = mkdtempSync(join(tmpdir(), 'syncbn-readme-'));
try {
  const run = (command: string, ...parameters: string[]): string =>
    execFileSync(command, parameters, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  run('npm', 'pack', process.cwd(), '--ignore-scripts', '--silent');
  const [tarball = ''] = run('ls').trim().split('\n');
  const readme = run('tar', '-xzOf', tarball, 'package/README.md');

  const [, install] = /^```sh\n(npm install syncbn)\n```$/m.exec(readme) ?? [];
  if (install === undefined) throw new Error('README has no line of installation');
  run('npm', 'install', '--no-audit', '--no-fund', '--silent', `./${tarball}`);

  const programs = programsOf({ path: 'README.md', text: readme });
  if (programs.length < 3) throw new Error(`expected README's three programs, got ${programs.length}`);
  for (const { line, code, prints } of programs) {
    writeFileSync(join(folder, 'first.mjs'), code);
    const printed = run('node', 'first.mjs').trim().split('\n').filter(Boolean);
    if (JSON.stringify(printed) !== JSON.stringify(prints)) {
      throw new Error(`README.md:${line} prints\n${printed.join('\n')}\nbut says\n${prints.join('\n')}`);
    }
    console.log(`readme: the program in line ${line} prints what it says`);
  }
  const { dependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    readonly dependencies: Readonly<Record<string, string>>;
  };
  console.log(`readme: followed in an empty folder with ${Object.keys(dependencies).join(', ')} alone`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
