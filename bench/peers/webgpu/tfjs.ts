/** TensorFlow.js on its WebGPU backend. */

import * as tf from '@tensorflow/tfjs';
import { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import type { Engine, LayerRun } from '../../engine.ts';
import { tfjsLayer } from '../tfjs_layer.ts';
import { requestDevice } from '../../gpu/request_device.ts';

const BACKEND = 'webgpu';

/** @throws Error where the backend does not start. */
export async function open(): Promise<Engine> {
  const { device, info, finished } = await requestDevice();
  const backend = new WebGPUBackend(device, info);
  // Its own way to a device asks for features by a list in a list, which Node's WebGPU refuses; the backend is the same.
  // The type says that there always is one.
  const known: unknown = tf.findBackendFactory(BACKEND);
  if (known !== null) tf.removeBackend(BACKEND);
  tf.registerBackend(BACKEND, () => backend);
  if (!(await tf.setBackend(BACKEND))) throw new Error('TensorFlow.js offers no WebGPU backend here');
  await tf.ready();
  let runs: LayerRun[] = [];
  const unload = () => {
    runs = [];
    tf.disposeVariables();
  };
  return {
    version: `TensorFlow.js ${tf.version_core}`,
    load(batches) {
      unload();
      runs = batches.map(tfjsLayer);
    },
    layers: () => runs,
    async finish() {
      // Commands gather until there are enough of them. An encoder whose pass is open is refused, with all that it holds.
      backend.ensureCommandEncoderReady();
      backend.endComputePassEncoder();
      backend.submitQueue();
      await finished();
    },
    unload,
  };
}
