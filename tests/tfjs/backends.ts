/** The backends of TensorFlow.js that tests compute with. */

import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import '@tensorflow/tfjs-backend-webgl';
// The gradients of its kernels, which tfjs-core alone does not register.
import '@tensorflow/tfjs-layers';

/** The files that the wasm backend loads, by name, with the addresses that a page has them under. */
const wasmFiles: Readonly<Record<string, string>> = import.meta.glob(
  '/node_modules/@tensorflow/tfjs-backend-wasm/wasm-out/*.wasm',
  { query: '?url', import: 'default', eager: true },
);

/** Those that hold values in host memory. */
export const hostBackends = ['cpu', 'wasm'] as const;

/** Those that a network can be trained on: a page has WebGL, too. */
export const trainingBackends = typeof document === 'undefined' ? hostBackends : ([...hostBackends, 'webgl'] as const);

/** Makes a backend the active one. */
export async function useBackend(name: (typeof hostBackends)[number] | 'webgl'): Promise<void> {
  if (name === 'wasm' && typeof document !== 'undefined' && tf.engine().registry['wasm'] === undefined) {
    const byName = Object.entries(wasmFiles).map(([path, url]) => [path.split('/').at(-1) ?? '', url] as const);
    setWasmPaths(Object.fromEntries(byName));
  }
  if (!(await tf.setBackend(name))) {
    throw new Error(`the backend ${name} of TensorFlow.js does not start`);
  }
}
