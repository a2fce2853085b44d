/** The WebAssembly module of the GPU kernels that travels beside the library, in a file that is loaded with the first GPU. */

/** The text of the module. */
export async function loadGpuModule(): Promise<string> {
  const { wasmDeflatedBase64 } = await import('./generated/gpu_module.js');
  return wasmDeflatedBase64;
}
