/** Calls of layers of tfjs as one differentiable function. */

import * as tf from '@tensorflow/tfjs-core';
import type { LayerVariable } from '@tensorflow/tfjs-layers';
import type { Tensor } from '../index.ts';
import type { Flow } from './flow.ts';
import type { Value, Vertex } from './graph.ts';
import type { SegmentStep } from './plan.ts';
import { present } from './present.ts';
import { tfFunction } from './tf_function.ts';

/** What the layers of a segment are called with besides their inputs. */
export interface SegmentContext {
  readonly variables: readonly LayerVariable[];
  /** The values that the variables have meanwhile. */
  readonly weights: readonly Tensor[];
  readonly training: boolean;
}

/** A value and its mask, in tensors of tfjs. */
interface Known {
  readonly x: tf.Tensor;
  readonly mask: tf.Tensor | null;
}

/** Runs a segment; its outputs and their masks are then in the flow. */
export async function runSegment(step: SegmentStep, flow: Flow, context: SegmentContext): Promise<void> {
  const { name, calls, inputs, outputs } = step;
  const { variables, weights, training } = context;
  const masked = inputs.filter((value) => flow.masks.has(value));
  // Known after the run: which values have a mask depends on the layers.
  const maskedOutputs: Value[] = [];
  const run = (...given: tf.Tensor[]): tf.Tensor[] => {
    const known = new Map<Value, Known>();
    for (const [i, value] of inputs.entries()) {
      const mask = masked.includes(value) ? given[inputs.length + masked.indexOf(value)] : undefined;
      known.set(value, { x: present(given[i], 'an input'), mask: mask === undefined ? null : tf.cast(mask, 'bool') });
    }
    withValues(variables, given.slice(inputs.length + masked.length), () => {
      calls.forEach((vertex) => call(vertex, known, training));
    });
    const results = outputs.map((value) => ({ value, ...present(known.get(value), 'an output') }));
    const withMask = results.filter((result): result is typeof result & { mask: tf.Tensor } => result.mask !== null);
    maskedOutputs.push(...withMask.map(({ value }) => value));
    return [...results.map(({ x }) => x), ...withMask.map(({ mask }) => mask)];
  };
  const given = [
    ...inputs.map((value) => flow.get(value)),
    ...masked.map((value) => present(flow.masks.get(value), 'a mask')),
  ];
  const results = await tfFunction(run, { name })(...given, ...weights);
  results.forEach((result, i) => {
    const value = outputs[i];
    if (value !== undefined) {
      flow.values.set(value, result);
    } else {
      flow.masks.set(present(maskedOutputs[i - outputs.length], 'the owner of a mask'), result);
    }
  });
}

/** Calls a layer as `model.fit` does. */
function call({ layer, inputs, outputs }: Vertex, known: Map<Value, Known>, training: boolean): void {
  const given = inputs.map((value) => present(known.get(value), 'an input'));
  const [xs, masks] = [given.map(({ x }) => x), given.map(({ mask }) => mask)];
  const hasMask = masks.some((mask) => mask !== null);
  const results = [layer.apply(xs, { training, ...(hasMask ? { mask: masks[0] } : {}) })].flat() as tf.Tensor[];
  const found: unknown = layer.supportsMasking ? layer.computeMask(xs, masks as tf.Tensor[]) : null;
  const mask = (Array.isArray(found) ? (found as unknown[])[0] : found) as tf.Tensor | null | undefined;
  outputs.forEach((value, i) => known.set(value, { x: present(results[i], 'an output'), mask: mask ?? null }));
}

/** Runs `work` while variables of layers have other values. It is synchronous, so nobody else sees that. */
export function withValues(variables: readonly LayerVariable[], values: readonly tf.Tensor[], work: () => void): void {
  const fields = variables as unknown as readonly { val: tf.Tensor | undefined }[];
  const own = fields.map(({ val }) => val);
  fields.forEach((field, i) => (field.val = values[i]));
  try {
    work();
  } finally {
    fields.forEach((field, i) => (field.val = own[i]));
  }
}
