/** One call of a batch normalization layer of tfjs, forward and backward, computed by the library. */

import * as tf from '@tensorflow/tfjs-core';
import type { LayerVariable } from '@tensorflow/tfjs-layers';
import { functional, type Tensor } from '../index.ts';
import type { Exchange } from './exchange.ts';
import { type Seen, seenAs } from './seen.ts';

/** What is used of a layer. */
export interface BatchNormLayer {
  readonly axis: number;
  readonly trainable: boolean;
  readonly epsilon: number;
  /** Weight of the old value, as Keras has it. */
  readonly momentum: number;
  /** Absent with `scale: false`. */
  readonly gamma?: LayerVariable | null;
  /** Absent with `center: false`. */
  readonly beta?: LayerVariable | null;
  readonly movingMean: LayerVariable;
  readonly movingVariance: LayerVariable;
}

/**
 * Normalizes, and records the gradients in tfjs.
 * @param training - whether with the statistics of the batch, which then also go into the moving averages; else with those.
 */
export function normalize(layer: BatchNormLayer, x: tf.Tensor, training: boolean, exchange: Exchange): tf.Tensor {
  const isRecorded = (tf.engine() as unknown as Recording).state.gradientDepth > 0;
  const { gamma, beta } = layer;
  const parameters = [gamma, beta].filter((variable) => variable !== undefined && variable !== null);
  const operation = tf.customGrad((...given) => {
    // The function that saves tensors of tfjs comes last.
    const [x, ...values] = given.slice(0, 1 + parameters.length) as [tf.Tensor, ...tf.Tensor[]];
    const call = new BatchNormCall(layer, exchange, isRecorded, x, {
      weight: gamma ? (values[0] ?? null) : null,
      bias: beta ? (values.at(-1) ?? null) : null,
    });
    const value = call.forward(training);
    return { value, gradFunc: (dy: tf.Tensor) => call.backward(dy) };
  });
  const floats = x.dtype === 'float32' ? x : tf.cast(x, 'float32');
  return operation(floats, ...parameters.map((variable) => variable.read()));
}

/** The part of tfjs' engine that tells whether gradients are recorded. */
interface Recording {
  readonly state: { readonly gradientDepth: number };
}

/** A moving average, and its value while the call runs. */
interface Moving {
  readonly variable: LayerVariable;
  readonly tensor: Tensor;
}

interface Affine<T> {
  readonly weight: T | null;
  readonly bias: T | null;
}

/** What a call keeps for its backward pass. Where there is none, the garbage collector finds it. */
class BatchNormCall {
  readonly #layer: BatchNormLayer;
  readonly #exchange: Exchange;
  readonly #isRecorded: boolean;
  readonly #shape: readonly number[];
  readonly #seen: Seen;
  readonly #inputs: { readonly x: Tensor } & Affine<Tensor>;
  #output: Tensor | null = null;

  constructor(
    layer: BatchNormLayer,
    exchange: Exchange,
    isRecorded: boolean,
    x: tf.Tensor,
    { weight, bias }: Affine<tf.Tensor>,
  ) {
    this.#layer = layer;
    this.#exchange = exchange;
    this.#isRecorded = isRecorded;
    this.#shape = x.shape;
    this.#seen = seenAs(x.shape, layer.axis);
    const received: Tensor[] = [];
    const receive = (given: tf.Tensor, seen: Seen): Tensor => {
      const made = exchange.receive(given, seen, isRecorded);
      received.push(made);
      return made;
    };
    try {
      this.#inputs = {
        x: receive(x, this.#seen),
        weight: weight && receive(weight, vectorOf(weight)),
        bias: bias && receive(bias, vectorOf(bias)),
      };
    } catch (error) {
      received.forEach((tensor) => tensor.dispose());
      throw error;
    }
  }

  /** @throws OutOfMemoryError, RangeError; the moving averages are as before. */
  forward(training: boolean): tf.Tensor {
    const { movingMean, movingVariance } = this.#layer;
    const moving: Moving[] = [];
    let isKept = false;
    try {
      for (const variable of [movingMean, movingVariance]) {
        const value = variable.read();
        moving.push({ variable, tensor: this.#exchange.receive(value, vectorOf(value), false) });
      }
      const value = this.#compute(moving, training);
      isKept = this.#isRecorded;
      return value;
    } finally {
      moving.forEach(({ tensor }) => tensor.dispose());
      if (!isKept) {
        this.#dispose();
      }
    }
  }

  #compute(moving: readonly Moving[], training: boolean): tf.Tensor {
    const { x, weight, bias } = this.#inputs;
    const { epsilon: eps, momentum } = this.#layer;
    const [mean = null, variance = null] = moving.map(({ tensor }) => tensor);
    const options = { weight, bias, training, eps, momentum: 1 - momentum, runningVar: 'biased' } as const;
    const y = functional.batchNormSync(x, mean, variance, options);
    this.#output = y;
    const value = this.#exchange.give(y, this.#shape);
    if (training) {
      const next = moving.map(({ variable, tensor }) => ({
        variable,
        value: this.#exchange.give(tensor, tensor.shape),
      }));
      next.forEach(({ variable, value }) => {
        variable.write(value);
        value.dispose();
      });
    }
    return value;
  }

  /** @returns the gradients of x and of the parameters that the layer has. */
  backward(given: tf.Tensor): tf.Tensor[] {
    const { x, weight, bias } = this.#inputs;
    const dy = this.#exchange.receive(given, this.#seen, false);
    try {
      this.#output?.backwardSync(dy.donate());
      const wanted = [x, weight, bias].filter((tensor) => tensor !== null);
      return wanted.map((tensor) => {
        if (tensor.grad === null) {
          throw new Error('batch norm: expected a gradient of every input, got none');
        }
        return this.#exchange.give(tensor.grad, tensor === x ? this.#shape : tensor.shape);
      });
    } finally {
      dy.dispose();
      this.#dispose();
    }
  }

  #dispose(): void {
    const { x, weight, bias } = this.#inputs;
    [x, weight, bias].forEach((tensor) => {
      tensor?.grad?.dispose();
      tensor?.dispose();
    });
    this.#output?.dispose();
    this.#output = null;
  }
}

function vectorOf({ shape }: tf.Tensor): Seen {
  return { shape, memoryFormat: 'contiguous' };
}
