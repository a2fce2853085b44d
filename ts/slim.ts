/**
 * The entry `syncbn/slim`: the library without its WebAssembly, for platforms that take modules but compile no bytes, such as Cloudflare's, and for
 * sites that serve the files `syncbn/cpu.wasm` and `syncbn/gpu.wasm` themselves.
 */

import { checkOptions } from './check_options.ts';
import { init as makeReady } from './main.ts';
import { compileGiven, type GivenModule } from './wasm/given_module.ts';
import { provideModules } from './wasm/modules.ts';

export * from './main.ts';
export type { GivenModule } from './wasm/given_module.ts';

/** What {@link init} of `syncbn/slim` takes besides the module. */
export interface SlimOptions {
  /** The file `syncbn/gpu.wasm`, for programs that use WebGPU devices; it is compiled with the first of them. Default: none. */
  readonly gpu?: GivenModule;
  /** Names of the devices to make ready; default `['cpu:0']`. */
  readonly devices?: readonly string[];
}

/**
 * Tells the library its WebAssembly, and makes devices ready. To be called before the first operation.
 *
 * @param source - the file `syncbn/cpu.wasm` as an address, a response, its bytes or the compiled module; or a promise of one of these.
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
export async function init(source: GivenModule, options: SlimOptions = {}, ...extra: never[]): Promise<void> {
  checkOptions<SlimOptions>('init()', options, { gpu: 'object', devices: 'array' }, extra);
  const { gpu, devices = ['cpu:0'] } = options;
  const cpu = (): Promise<WebAssembly.Module> => compileGiven('init()', source);
  provideModules(gpu === undefined ? { cpu } : { cpu, gpu: () => compileGiven('init(): gpu', gpu) });
  await makeReady(devices);
}
