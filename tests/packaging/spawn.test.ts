/** Ranks as users start them: the program is a file of theirs, and finds the package by itself. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'vite';
import { describe, expect, inject, it } from 'vitest';
import { runInUserProject } from './user_project.ts';

const body = `async function main({ rank, group, args }) {
  const bn = new SynchronizedBatchNorm1d(1, { processGroup: group, momentum: 1 });
  await bn.forward(tensor([args.values[rank]], [1, 1]));
  return [...(await bn.runningMean.data()), process.env.RANK, process.env.WORLD_SIZE];
}`;
const start = `spawn(address, { nprocs: 2, args: { values: [1, 3] } }).then((found) => console.log(JSON.stringify(found)));`;

const expected = [
  [2, '0', '2'],
  [2, '1', '2'],
];

describe('spawn, of the packed package', () => {
  it('runs_the_default_export_of_an_ES_module', () => {
    const program = `import { SynchronizedBatchNorm1d, tensor } from 'syncbn';\nexport default ${body}\n`;
    writeFileSync(join(inject('userProject'), 'rank.mjs'), program);
    const text = `import { spawn } from 'syncbn/distributed';\nconst address = new URL('./rank.mjs', import.meta.url);\n${start}`;
    expect(runInUserProject('spawn.mjs', text)).toEqual(expected);
  });

  it('runs_the_exports_of_a_CommonJS_module', () => {
    const program = `const { SynchronizedBatchNorm1d, tensor } = require('syncbn');\nmodule.exports = ${body}\n`;
    writeFileSync(join(inject('userProject'), 'rank.cjs'), program);
    const text = `const { spawn } = require('syncbn/distributed');\nconst address = require('node:url').pathToFileURL(require.resolve('./rank.cjs'));\n${start}`;
    expect(runInUserProject('spawn.cjs', text)).toEqual(expected);
  });

  it('runs_a_program_that_imports_nothing_else', () => {
    const program = `export default async ({ rank, group }) => [...(await group.allReduce(Float32Array.of(rank + 0.5)))];\n`;
    writeFileSync(join(inject('userProject'), 'alone.mjs'), program);
    const text = `import { spawn } from 'syncbn/distributed';
    spawn(new URL('./alone.mjs', import.meta.url), { nprocs: 2 }).then((found) => console.log(JSON.stringify(found)));`;
    expect(runInUserProject('spawn_alone.mjs', text)).toEqual([[2], [2]]);
  });

  it('tells_a_program_that_is_not_there', () => {
    const text = `import { spawn } from 'syncbn/distributed';
    spawn(new URL('./none.mjs', import.meta.url), { nprocs: 1 }).catch((error) => console.log(JSON.stringify(error.message)));`;
    expect(runInUserProject('missing.mjs', text)).toMatch(/^rank 0 has failed: .*none\.mjs/);
  });
});

it.each(['spawnable(() => 1)', 'spawn', 'initProcessGroup()'])('%s_is_one_script_in_a_worker_of_Vite', async (use) => {
  const root = inject('userProject');
  const name = /^\w+/.exec(use)?.[0] ?? '';
  writeFileSync(
    join(root, 'vite_worker.mjs'),
    `import { ${name} } from 'syncbn/distributed';\nglobalThis.used = ${use};\n`,
  );
  const program = join(root, 'vite_page.mjs');
  const make = "new Worker(new URL('./vite_worker.mjs', import.meta.url), { type: 'module' })";
  writeFileSync(program, `globalThis.make = () => ${make};\n`);
  const options = { write: false, rollupOptions: { input: program, external: [/^@nats-io/] } };
  const built = await build({ root, configFile: false, logLevel: 'silent', build: options });
  const files = [built].flat().flatMap((each) => ('output' in each ? each.output.map(({ fileName }) => fileName) : []));
  expect(files.filter((file) => file.includes('vite_worker'))).toHaveLength(1);
});
