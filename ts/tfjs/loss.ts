/** Losses and metrics of a compiled model, of outputs that lie on a device. */

import * as tf from '@tensorflow/tfjs-core';
import type { Tensor } from '../index.ts';
import type { Batch } from './batch.ts';
import { backendFor } from './backends.ts';
import type { CompiledModel } from './compiled_model.ts';
import { activeBackend } from './engine.ts';
import type { Place } from './layer_weights.ts';
import { present } from './present.ts';
import { withValues } from './segment.ts';
import { tfFunction } from './tf_function.ts';

/** Targets and weights where the outputs are. */
export type Targets = () => Pick<Batch, 'ys' | 'weights'>;

/** Brings the targets of a batch to the backend that computes for a device. Of the function that it gives, the tensors belong to the scope it is called in. */
export async function targetsFor({ ys, weights }: Pick<Batch, 'ys' | 'weights'>, device: string): Promise<Targets> {
  if ((await backendFor(device)) === (await activeBackend())) {
    return () => ({ ys, weights });
  }
  const all = [...ys, ...weights.filter((item) => item !== null)];
  const values = await Promise.all(all.map((item) => item.data()));
  return () => {
    const made = all.map(({ shape, dtype }, i) => tf.tensor(present(values[i], 'a target'), shape, dtype));
    const rest = made.slice(ys.length);
    return { ys: made.slice(0, ys.length), weights: weights.map((item) => item && present(rest.shift(), 'a weight')) };
  };
}

/**
 * The loss of a training step: the mean over the batch, and the penalties of the regularizers.
 * @param regularized - the places of the weights that regularizers look at, with their values.
 * @returns the loss, and the losses of the outputs one by one, (outputs).
 */
export async function trainingLoss(
  model: CompiledModel,
  outputs: readonly Tensor[],
  targets: Targets,
  regularized: { readonly places: readonly Place[]; readonly values: readonly Tensor[] },
): Promise<[loss: Tensor, parts: Tensor]> {
  const run = (...given: tf.Tensor[]): tf.Tensor[] => {
    const losses = lossesOf(model, given.slice(0, outputs.length), targets());
    const variables = regularized.places.map(({ variable }) => variable);
    let total = tf.mean(losses.reduce((sum, loss) => tf.add(sum, loss)));
    withValues(variables, given.slice(outputs.length), () => {
      for (const penalty of variables.length > 0 ? model.calculateLosses() : []) {
        total = tf.add(total, penalty);
      }
    });
    return [total, tf.stack(losses.map((loss) => tf.mean(loss)))];
  };
  const results = await tfFunction(run, { name: 'loss' })(...outputs, ...regularized.values);
  return [present(results[0], 'the loss'), present(results[1], 'the losses')];
}

/**
 * The metrics as `compile()` has put them, after the loss.
 * @param parts - the losses of the outputs, where they are known; else they are computed.
 */
export async function metricsOf(
  model: CompiledModel,
  outputs: readonly Tensor[],
  targets: Targets,
  parts: readonly number[] | null,
): Promise<number[]> {
  const { metricsTensors } = model;
  // Of a model of several outputs the first ones are their losses.
  const known = outputs.length > 1 && parts !== null ? parts.slice(0, metricsTensors.length) : [];
  const wanted = metricsTensors.slice(known.length);
  if (wanted.length === 0) {
    return [...known];
  }
  const run = (...given: tf.Tensor[]): tf.Tensor => {
    const { ys } = targets();
    const at = (list: readonly tf.Tensor[], i: number): tf.Tensor => present(list[i], `output ${i}`);
    return tf.stack(wanted.map(([metric, i]) => tf.mean(metric(at(ys, i), at(given, i)))));
  };
  // Detached: there is nothing to be recorded.
  const detached = outputs.map((output) => output.detach());
  try {
    const computed = await tfFunction(run, { name: 'metrics' })(...detached);
    const values = await computed.data();
    computed.dispose();
    return [...known, ...values];
  } finally {
    detached.forEach((output) => output.dispose());
  }
}

/** Of each output, per sample at least. */
function lossesOf(
  { lossFunctions }: CompiledModel,
  outputs: readonly tf.Tensor[],
  { ys, weights }: ReturnType<Targets>,
): tf.Tensor[] {
  return lossFunctions.map((lossFunction, i) => {
    const loss = lossFunction(present(ys[i], 'a target'), present(outputs[i], 'an output'));
    const weight = weights[i] ?? null;
    // A weight for all that belongs to a sample.
    return weight === null ? loss : tf.mul(loss, tf.reshape(weight, [-1, ...loss.shape.slice(1).map(() => 1)]));
  });
}
