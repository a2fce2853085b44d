/**
 * The entry `syncbn/slim`: the library without its WebAssembly, for platforms that take modules but compile no bytes, such as Cloudflare's, and for
 * sites that serve the file `syncbn/cpu.wasm` themselves.
 */

import { init as makeReady } from './main.ts';
import { compileGiven, type GivenModule } from './wasm/given_module.ts';
import { provideCpuModule } from './wasm/modules.ts';

export * from './main.ts';
export type { GivenModule } from './wasm/given_module.ts';

/**
 * Tells the library its WebAssembly, and makes devices ready. To be called before the first operation.
 *
 * @param source - the file `syncbn/cpu.wasm` as an address, a response, its bytes or the compiled module; or a promise of one of these.
 * @param names - of the devices; default `['cpu:0']`.
 * @throws TypeError for anything else; Error when the file cannot be loaded; NoWebAssemblyError where the platform does not compile it; as
 * `init()` of the main entry.
 *
 * @example
 * ```ts
 * import { init } from 'syncbn/slim';
 * import cpu from 'syncbn/cpu.wasm'; // on Cloudflare, a WebAssembly.Module
 * await init(cpu);
 * ```
 */
export async function init(source: GivenModule, names: readonly string[] = ['cpu:0']): Promise<void> {
  provideCpuModule(() => compileGiven('init()', source));
  await makeReady(names);
}
