/**
 * The main entry as a script of a page: one file, whose exports are the properties of the global `syncbn`. The WebAssembly of GPUs is larger than all else;
 * it is loaded with the first of them, from the file `gpu.wasm` beside the script.
 */

import { compileCpuModule } from './wasm/cpu_module.ts';
import { compileGiven } from './wasm/given_module.ts';
import { provideModules } from './wasm/modules.ts';

export * from './main.ts';

/** What there is to be seen of the page, or of the worker that imports the script. */
interface Page {
  readonly document?: { readonly currentScript: { readonly src?: string } | null; readonly baseURI: string };
  readonly location?: { readonly href: string };
}

// Known while the script runs, and never again. A worker does not tell which of its scripts runs, so there it is its own address.
const { document, location } = globalThis as Page;
const address = document?.currentScript?.src ?? document?.baseURI ?? location?.href;

provideModules({
  cpu: compileCpuModule,
  gpu: () => compileGiven('the first use of a GPU', new URL('gpu.wasm', address)),
});
