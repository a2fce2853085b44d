/** The entries that stand in the place of the main one: `syncbn/slim`, which is given its WebAssembly, and the script of a page. */

import { createContext, runInContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { readInstalled, runInUserProject } from './user_project.ts';
import { webGlobals } from './web_globals.ts';

const step = `
const step = async ({ BatchNorm1d, tensor }) => [...(await (await new BatchNorm1d(1, { eps: 1e-12 }).forward(tensor([[1], [3]]))).data())];
const bytes = readFileSync('node_modules/syncbn/dist/cpu.wasm');
const main = async () => {`;

const loads = [
  {
    kind: 'an ES module',
    extension: 'mjs',
    load: "import * as slim from 'syncbn/slim';\nimport { readFileSync } from 'node:fs';\nimport * as files from 'syncbn/safetensors';\n",
  },
  {
    kind: 'a CommonJS module',
    extension: 'cjs',
    load: "const slim = require('syncbn/slim');\nconst { readFileSync } = require('node:fs');\nconst files = require('syncbn/safetensors');\n",
  },
];

describe.each(loads)('syncbn/slim, from $kind', ({ extension, load }) => {
  const run = (name: string, body: string): unknown =>
    runInUserProject(`slim_${name}.${extension}`, `${load}${step} ${body} };\nmain();\n`);

  it.each([
    ['bytes', 'bytes'],
    ['an_array_buffer', 'new Uint8Array(bytes).buffer'],
    ['a_module', 'new WebAssembly.Module(bytes)'],
    ['a_response', "new Response(bytes, { headers: { 'content-type': 'application/wasm' } })"],
    ['a_promise', 'Promise.resolve(bytes)'],
    ['an_address', '`data:application/wasm;base64,${bytes.toString("base64")}`'],
  ])('computes_with_%s', (name, source) => {
    expect(run(name, `await slim.init(${source}); console.log(JSON.stringify(await step(slim)));`)).toEqual([-1, 1]);
  });

  it('says_before_it_is_given_a_module_what_to_do, and computes afterwards', () => {
    const body = `const error = await step(slim).catch((error) => error); await slim.init(bytes);
      console.log(JSON.stringify([error.message, await step(slim)]));`;
    expect(run('before', body)).toEqual([
      expect.stringContaining('expected await init(source) before the first operation'),
      [-1, 1],
    ]);
  });

  it.each([
    ['a_number', '7', /^TypeError: init\(\): expected the file syncbn\/cpu.wasm .* got/],
    ['a_missing_file', "new Response('', { status: 404 })", /got the answer 404; serve the file there/],
    ['no_server', "'http://127.0.0.1:9/cpu.wasm'", /could not be loaded; serve the file there/],
  ])('refuses_%s', (name, source, text) => {
    const body = `const error = await slim.init(${source}).catch(String); console.log(JSON.stringify(error));`;
    expect(run(name, body)).toMatch(text);
  });

  it('computes_in_workers', () => {
    const body = `await slim.init(bytes, ['worker:0']);
      const x = await slim.tensor([1, 2]).to('worker:0'); console.log(JSON.stringify([x.device, ...(await x.data())]));`;
    expect(run('workers', body)).toEqual(['worker:0', 1, 2]);
  });

  it('has_the_tensors_of_the_entries_beside_it', () => {
    const body = `await slim.init(bytes); const file = await files.saveSafetensors({ x: slim.tensor([5]) });
      const { x } = files.loadSafetensors(file); console.log(JSON.stringify([x instanceof slim.Tensor, ...(await x.data())]));`;
    expect(run('beside', body)).toEqual([true, 5]);
  });
});

it('the_script_of_a_page_makes_one_global_and_computes', async () => {
  const context = createContext({ ...webGlobals });
  runInContext(readInstalled('dist/syncbn.iife.js'), context);
  const added = Object.keys(context).filter((name) => !(name in webGlobals));
  expect(added).toEqual(['syncbn']);
  const result: unknown = await runInContext(
    'syncbn.tensor([[1], [3]]).data().then((values) => JSON.stringify([...values]))',
    context,
  );
  expect(result).toBe('[1,3]');
});
