/** TensorFlow.js on its WebAssembly backend. */

import * as tf from '@tensorflow/tfjs';
import { getThreadsCount, setThreadsCount, version_wasm as wasmVersion } from '@tensorflow/tfjs-backend-wasm';
import type { Engine, LayerRun } from '../engine.ts';
import { tfjsLayer } from './tfjs_layer.ts';

/** @throws Error where the backend does not start. */
export async function open(): Promise<Engine> {
  setThreadsCount(1);
  if (!(await tf.setBackend('wasm'))) throw new Error('TensorFlow.js offers no wasm backend here');
  await tf.ready();
  let runs: LayerRun[] = [];
  const unload = () => {
    runs = [];
    tf.disposeVariables();
  };
  return {
    version: `TensorFlow.js ${wasmVersion}, ${getThreadsCount()} thread`,
    load(batches) {
      unload();
      runs = batches.map(tfjsLayer);
    },
    layers: () => runs,
    unload,
  };
}
