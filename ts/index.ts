/** The main entry: the library with its WebAssembly. Importing it compiles nothing; the first operation initialises what it needs. */

import { compileCpuModule } from './wasm/cpu_module.ts';
import { loadGpuModule } from './wasm/gpu_module.ts';
import { provideModules } from './wasm/modules.ts';

export * from './main.ts';

// All that an import does: it names functions to the library.
provideModules({ cpu: compileCpuModule, gpu: loadGpuModule });
