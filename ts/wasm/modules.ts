/**
 * Where the compiled WebAssembly comes from. That of the CPU is told by the entry: the main one brings it along, `syncbn/slim` is given it by the
 * program. That of GPUs is larger than all else and lies in a file that is loaded with the first of them. Nothing is compiled before a device is
 * made ready.
 */

import { loadOnce } from '../load_once.ts';
import { compileModule } from './compile_module.ts';

/** Gives a module, compiled or as text for {@link compileModule}. Asked once, unless it fails. */
export type ModuleSource = () => Promise<WebAssembly.Module | string>;

let cpu = compiledOnce(() =>
  Promise.reject(
    new Error(
      'syncbn/slim: expected await init(source) before the first operation; give it syncbn/cpu.wasm as an address, a Response, bytes or a WebAssembly.Module',
    ),
  ),
);

const gpu = compiledOnce(async () => (await import('./generated/gpu_module.js')).wasmDeflatedBase64);

/** Names the source of the kernels of the CPU, for devices that become ready later. */
export function provideCpuModule(source: ModuleSource): void {
  cpu = compiledOnce(source);
}

/** The kernels of the CPU, compiled once for all devices; workers get the module posted. */
export function cpuModule(): Promise<WebAssembly.Module> {
  return cpu();
}

/** The kernels of GPUs. */
export function gpuModule(): Promise<WebAssembly.Module> {
  return gpu();
}

/** Asks a source, and compiles, when the module is first needed. A failure is not remembered, so that the next call tries again. */
export function compiledOnce(source: ModuleSource): () => Promise<WebAssembly.Module> {
  const module = loadOnce(async () => {
    const given = await source();
    return typeof given === 'string' ? compileModule(given) : given;
  });
  return async () => module();
}
