/**
 * `npm run release:check [-- --tag v1.2.3] [--without-tests] [--without-matrix]`: whether what is committed can be published. In a bare clone, so that nothing that lies around
 * takes part: all tests, the bill of materials among them, every row of the matrix, the site, and README's programs pasted into an empty project that has the packed package; and
 * version, tag and changelog agree. The whole check leaves in `build/` the file that is to be published. `--without-tests` only sets up and builds, `--without-matrix` leaves out the
 * matrix.
 */

import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root, run } from '../tools.mjs';

const { values } = parseArgs({
  options: { tag: { type: 'string' }, 'without-tests': { type: 'boolean' }, 'without-matrix': { type: 'boolean' } },
});
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

const isWhole = values['without-tests'] !== true && values['without-matrix'] !== true;
const packed = join(root, 'build');
mkdirSync(packed, { recursive: true });
const clone = mkdtempSync(join(tmpdir(), 'syncbn-release-'));
try {
  const steps = [
    ['git', 'clone', '--quiet', root, clone],
    values['without-tests'] ? ['npm', 'test', '--', 'setup', 'build', 'licences'] : ['npm', 'test'],
    ['node', 'scripts/run_ts.mjs', 'scripts/release/paste_readme.ts'],
    ['npm', 'run', '--silent', 'docs:build'],
    ['npm', 'run', '--silent', 'docs:check'],
    ...(values['without-matrix'] ? [] : [['npm', 'run', '--silent', 'matrix']]),
    ...(isWhole ? [['npm', 'pack', '--ignore-scripts', '--pack-destination', packed]] : []),
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
if (process.exitCode !== 1) {
  console.log(
    isWhole
      ? `release: version ${version} can be published: build/syncbn-${version}.tgz`
      : 'release: what was checked is in order; only the whole check packs what is to be published',
  );
}
