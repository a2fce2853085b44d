/**
 * Where the compiled WebAssembly comes from. The entry says it: the main one brings the modules along, `syncbn/slim` is given them by the
 * program. Nothing is compiled before a device is made ready.
 */

import { compileModule } from './compile_module.ts';

/** Gives a module, compiled or as text for {@link compileModule}. Asked once, unless it fails. */
export type ModuleSource = () => Promise<WebAssembly.Module | string>;

/** A compiled module, each time the same. */
type Compiled = () => Promise<WebAssembly.Module>;

/** The modules of the library. */
interface Modules<Source> {
  readonly cpu: Source;
  readonly gpu: Source;
}

let sources: Modules<Compiled> = {
  cpu: () => Promise.reject(missing('the first operation', 'init(source)', 'cpu.wasm')),
  gpu: () => Promise.reject(missing('the first use of a GPU', 'init(source, { gpu })', 'gpu.wasm')),
};

/** Names the sources, for devices that become ready later. */
export function provideModules({ cpu, gpu }: Partial<Modules<ModuleSource>>): void {
  sources = {
    cpu: cpu === undefined ? sources.cpu : compiledOnce(cpu),
    gpu: gpu === undefined ? sources.gpu : compiledOnce(gpu),
  };
}

/** The kernels of the CPU, compiled once for all devices; workers get the module posted. */
export function cpuModule(): Promise<WebAssembly.Module> {
  return sources.cpu();
}

/** The kernels of GPUs. */
export function gpuModule(): Promise<WebAssembly.Module> {
  return sources.gpu();
}

/** Asks a source, and compiles, when the module is first needed. A failure is not remembered, so that the next call tries again. */
export function compiledOnce(source: ModuleSource): Compiled {
  let compiling: Promise<WebAssembly.Module> | null = null;
  const compile = async (): Promise<WebAssembly.Module> => {
    const given = await source();
    return typeof given === 'string' ? compileModule(given) : given;
  };
  return () =>
    (compiling ??= compile().catch((error: unknown) => {
      compiling = null;
      throw error;
    }));
}

function missing(before: string, call: string, file: string): Error {
  return new Error(
    `syncbn/slim: expected await ${call} before ${before}; give it syncbn/${file} as an address, a Response, bytes or a WebAssembly.Module`,
  );
}
