/** The main entry: the library with its WebAssembly. Importing it compiles nothing; the first operation initialises what it needs. */

import { compileCpuModule } from './wasm/cpu_module.ts';
import { provideCpuModule } from './wasm/modules.ts';

export * from './main.ts';

// All that an import does: it names a function to the library.
provideCpuModule(compileCpuModule);
