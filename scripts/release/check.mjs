/**
 * `npm run release:check [-- --tag v1.2.3]`: whether what is committed can be published. In a bare clone, so that nothing that lies around takes part: all tests, which pack the package
 * and run README's programs, every row of the matrix, the site, the bill of materials; and version, tag and changelog agree.
 */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root, run } from '../tools.mjs';

const { values } = parseArgs({ options: { tag: { type: 'string' } } });
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const faults = [];
if (values.tag !== undefined && values.tag !== `v${version}`)
  faults.push(`the tag ${values.tag} is not that of version ${version}`);
if (!readFileSync(join(root, 'CHANGELOG.md'), 'utf8').includes(`\n## ${version}\n`))
  faults.push(`CHANGELOG.md has no heading ${version}`);
if (run('git', ['status', '--porcelain'], { quiet: true }).stdout !== '')
  faults.push('there are changes that are not committed');
if (faults.length > 0) {
  console.error(faults.join('\n'));
  process.exit(1);
}

const clone = mkdtempSync(join(tmpdir(), 'syncbn-release-'));
try {
  const steps = [
    ['git', 'clone', '--quiet', root, clone],
    ['npm', 'test'],
    ['npm', 'run', '--silent', 'matrix'],
    ['npm', 'run', '--silent', 'docs:build'],
    ['npm', 'run', '--silent', 'docs:check'],
    ['npm', 'run', '--silent', 'release:bill'],
  ];
  for (const [command, ...parameters] of steps) {
    console.log(`release: ${command} ${parameters.join(' ')}`);
    if (!run(command, parameters, { cwd: clone }).ok) {
      console.error(`release: ${command} ${parameters.join(' ')} has failed`);
      process.exitCode = 1;
      break;
    }
  }
} finally {
  rmSync(clone, { recursive: true, force: true });
}
if (process.exitCode !== 1) console.log(`release: version ${version} can be published`);
