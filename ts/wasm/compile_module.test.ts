import { afterEach, expect, it, vi } from 'vitest';
import { compileModule } from './compile_module.ts';
import { wasmDeflatedBase64 } from './generated/cpu_module.js';

afterEach(() => {
  vi.unstubAllGlobals();
});

/** A platform's globals in place of this one's, for as long as the compilation begins. */
function compileWhere(globals: Readonly<Record<string, unknown>>): Promise<WebAssembly.Module> {
  for (const [name, value] of Object.entries(globals)) {
    vi.stubGlobal(name, value);
  }
  const compiled = compileModule(wasmDeflatedBase64);
  vi.unstubAllGlobals();
  return compiled;
}

it.each([
  ['this_platform', {}],
  ['a_page', { process: undefined }],
  ['a_Node_that_gives_no_modules', { process: { versions: { node: '20.9.0' } } }],
  ['the_jsdom_of_vitest_whose_Blob_has_no_stream', { Blob: Object }],
  ['the_same_without_the_modules_of_Node', { Blob: Object, process: undefined }],
])('compiles_on_%s', async (_platform, globals) => {
  const compiled = await compileWhere(globals);
  expect(WebAssembly.Module.exports(compiled).length).toBeGreaterThan(10);
});
