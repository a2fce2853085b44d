/**
 * `node scripts/run_ts.mjs [--sources] FILE [ARGUMENT...]`: runs a TypeScript program of this repository (an example, a benchmark)
 * as a user of the package would: its own files are bundled, `syncbn` and every other package come from `node_modules` and `dist`.
 * With `--sources` the library's own sources stand in the place of the package, as in the unit tests.
 * Node 20 does not run TypeScript, and a loader would be one more package.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { build } from 'esbuild';
import { buildWorker } from './build_worker.mjs';
import { besides } from './entries.mjs';
import { softwareGpu } from './software_gpu.mjs';
import { root } from './tools.mjs';

const given = process.argv.slice(2);
const fromSources = given[0] === '--sources';
const [file, ...parameters] = fromSources ? given.slice(1) : given;
if (file === undefined) {
  console.error('usage: node scripts/run_ts.mjs [--sources] FILE [ARGUMENT...]');
  process.exit(2);
}
// The longer names first: each stands for all names that begin with it.
const sources = Object.fromEntries([
  ...besides.map((name) => [`syncbn/${name}`, `./ts/${name}.ts`]),
  ['syncbn', './ts/index.ts'],
]);
// Workers run a bundle of the sources.
if (fromSources) await buildWorker();

// Inside the repository, so that `import 'syncbn'` resolves to this package.
const outdir = join(root, 'build', 'run', dirname(relative(root, file)));
await build({
  absWorkingDir: root,
  entryPoints: [file],
  outdir,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  // A dynamic import stays one, and the packages behind it are loaded only when it runs.
  splitting: true,
  packages: 'external',
  platform: 'node',
  format: 'esm',
  target: 'node20',
  sourcemap: 'inline',
  alias: fromSources ? sources : {},
  // `sideEffects` of package.json tells of the files in `dist`.
  ignoreAnnotations: fromSources,
  // `paths` of tsconfig.json would put the sources in the place of the package.
  tsconfigRaw: {},
  logLevel: 'warning',
});
// Where the program's folder has packages of its own, the bundle finds them as its sources do.
const packages = join(root, dirname(relative(root, file)), 'node_modules');
const link = join(outdir, 'node_modules');
mkdirSync(outdir, { recursive: true });
rmSync(link, { force: true });
if (existsSync(packages)) symlinkSync(packages, link, 'junction');

const program = join(outdir, `${basename(file, '.ts')}.mjs`);
const { status, signal } = spawnSync(process.execPath, ['--enable-source-maps', program, ...parameters], {
  stdio: 'inherit',
  env: { ...process.env, ...(fromSources ? softwareGpu() : {}) },
});
process.exit(signal === null ? (status ?? 1) : 1);
