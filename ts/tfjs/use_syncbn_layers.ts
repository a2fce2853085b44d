/** tfjs' own batch normalization layers, computing with this library. */

import * as tf from '@tensorflow/tfjs-core';
import { init } from '../index.ts';
import { type BatchNormLayer, normalize } from './batch_norm_call.ts';
import type { Exchange } from './exchange.ts';
import { adoptBackend, gpuExchange, isGpuBackend } from './gpu_exchange.ts';
import { hostExchange } from './host_exchange.ts';

/** What {@link useSyncbnLayers} needs of TensorFlow.js: the module `@tensorflow/tfjs`, or `@tensorflow/tfjs-layers`. */
export interface TensorFlowLayers {
  readonly layers: {
    /** Makes a layer, from whose class the others are told. */
    batchNormalization(options?: object): object;
  };
}

type Call = (
  this: BatchNormLayer,
  inputs: tf.Tensor | tf.Tensor[],
  kwargs?: { readonly training?: boolean },
) => tf.Tensor;

/** What undoes it, by the class of layers that it is done to. */
const undoing = new WeakMap<object, () => void>();

/**
 * Lets tfjs' own `BatchNormalization` layers compute with this library, in `model.fit()` and wherever else they are called: all that exist, and all that
 * will. On tfjs' `cpu` and `wasm` backends the kernels of the device `'cpu:0'` compute, on its WebGPU backend those of the library on tfjs' own
 * `GPUDevice`, without copying.
 *
 * Training then works with `axis: 1` and every other, `scale: false`, `center: false` and inputs of rank 5, which tfjs refuses. A layer with
 * `trainable: false` normalizes with its moving averages and leaves them alone, as in Keras. Evaluation stays tfjs' own but for inputs of rank 5.
 *
 * It is for one device; `fromLayersModel()` spreads a model over several.
 *
 * @param tensorflow - `@tensorflow/tfjs` or `@tensorflow/tfjs-layers`, as the program has imported it.
 * @returns a function that gives the layers back what they did before.
 * @throws TypeError for another module.
 *
 * @example
 * ```ts
 * await tf.setBackend('wasm');
 * const undo = await useSyncbnLayers(tf);
 * await model.fit(xs, ys);
 * undo();
 * ```
 */
export async function useSyncbnLayers(tensorflow: TensorFlowLayers): Promise<() => void> {
  const prototype = prototypeOf(tensorflow);
  await tf.ready();
  await init();
  await Promise.all(Object.values(tf.engine().registry).filter(isGpuBackend).map(adoptBackend));
  const known = undoing.get(prototype);
  if (known !== undefined) {
    return known;
  }
  const { call } = prototype;
  prototype.call = function (inputs, kwargs) {
    const [x, ...more] = [inputs].flat();
    const isTraining = kwargs?.training === true;
    if (x === undefined || more.length > 0 || !isOurs(this, x, isTraining)) {
      return call.call(this, inputs, kwargs);
    }
    return normalize(this, x, isTraining && this.trainable, activeExchange());
  };
  const undo = (): void => {
    if (undoing.delete(prototype)) {
      prototype.call = call;
    }
  };
  undoing.set(prototype, undo);
  return undo;
}

/** Whether the call is one that tfjs computes slowly, or not at all. */
function isOurs(layer: BatchNormLayer, x: tf.Tensor, isTraining: boolean): boolean {
  const channels = x.shape.at(layer.axis) ?? 0;
  // One value per channel has no deviation: tfjs' formula gives beta.
  return isTraining ? x.size > channels || !layer.trainable : x.rank > 4;
}

function activeExchange(): Exchange {
  const backend = tf.backend();
  return isGpuBackend(backend) ? gpuExchange(backend) : hostExchange;
}

/** Of the class of tfjs' batch normalization layers. */
function prototypeOf(tensorflow: TensorFlowLayers): { call: Call } {
  const { layers } = Object(tensorflow) as Partial<TensorFlowLayers>;
  if (typeof layers?.batchNormalization !== 'function') {
    throw new TypeError(
      `useSyncbnLayers(): expected @tensorflow/tfjs or @tensorflow/tfjs-layers, got ${typeof tensorflow} without layers.batchNormalization(); ` +
        `import * as tf from '@tensorflow/tfjs' and await useSyncbnLayers(tf)`,
    );
  }
  return Object.getPrototypeOf(layers.batchNormalization({})) as { call: Call };
}
