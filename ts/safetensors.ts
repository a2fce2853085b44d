/** State dicts in the format of safetensors files: the entry `syncbn/safetensors`. */

export { loadSafetensors, type LoadSafetensorsOptions, safetensorsMetadata } from './safetensors/load_safetensors.ts';
export { SafetensorsError } from './safetensors/safetensors_error.ts';
export { saveSafetensors, type SaveSafetensorsOptions } from './safetensors/save_safetensors.ts';
