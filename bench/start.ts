/**
 * `npm run bench:start [-- --check]`: how long a program waits for the library. Each sample is a new Node process that loads `dist/` and then runs the first
 * forward of a layer, compilation of the WebAssembly included. Node's own start is not counted.
 */

import { execFileSync } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { repositoryFile } from './repository.ts';
import { summarize } from './statistics.ts';

/** Milliseconds that are promised. */
const promised = { load: 30, forward: 60 };

const forward = `
const loaded = performance.now();
const y = await new syncbn.BatchNorm2d(3).forward(syncbn.tensor(new Float32Array(24).fill(1), [2, 3, 2, 2]));
await y.data();
console.log(JSON.stringify({ load: loaded - begin, forward: performance.now() - loaded }));
`;

const loads = {
  import: `const begin = performance.now();
const syncbn = await import(${JSON.stringify(pathToFileURL(repositoryFile('dist/index.js')).href)});`,
  require: `import { createRequire } from 'node:module';
const require = createRequire(import.meta.url);
const begin = performance.now();
const syncbn = require(${JSON.stringify(repositoryFile('dist/index.cjs'))});`,
};

const { values } = parseArgs({ options: { check: { type: 'boolean' }, launches: { type: 'string', default: '30' } } });
const misses: string[] = [];
for (const [way, load] of Object.entries(loads)) {
  const samples = Array.from({ length: Number(values.launches) }, () => {
    const text = execFileSync(process.execPath, ['--input-type=module', '--eval', load + forward], {
      encoding: 'utf8',
    });
    return JSON.parse(text) as typeof promised;
  });
  for (const what of ['load', 'forward'] as const) {
    const { minimum, median } = summarize(samples.map((sample) => sample[what]));
    const name = what === 'load' ? way : `the first forward after ${way}`;
    console.log(
      `${name}: median ${median.toFixed(1)} ms, least ${minimum.toFixed(1)} ms, promised ${promised[what]} ms`,
    );
    if (median > promised[what]) misses.push(name);
  }
}
if (values.check === true && misses.length > 0) {
  console.log(`missed: ${misses.join(', ')}`);
  process.exitCode = 1;
}
