/** The error for bytes that are no whole safetensors file. */

/** Bytes are no safetensors file, are damaged, or hold what a state dict of this library cannot. Nothing was read from them. */
export class SafetensorsError extends Error {
  override readonly name = 'SafetensorsError';
}
