/** Functions on tensors of TensorFlow.js as differentiable functions of the library. */

import * as tf from '@tensorflow/tfjs-core';
import { defineFunction, type Tensor } from '../index.ts';
import { handOverFor } from './backends.ts';
import { inScope, recorded, withBackend } from './engine.ts';
import type { HandOver } from './hand_over.ts';
import { Tape } from './tape.ts';

/** Options of {@link tfFunction}. */
export interface TfFunctionOptions {
  /** Names the function in errors; default its own name. */
  readonly name?: string;
}

/** What {@link tfFunction} takes: a synchronous function on tensors of tfjs. */
export type FunctionOfTf<Inputs extends readonly tf.Tensor[], Output extends tf.Tensor | readonly tf.Tensor[]> = (
  ...inputs: Inputs
) => Output;

/** What {@link tfFunction} gives: the same function on tensors of the library. */
export type FunctionOfTensors<Inputs extends readonly tf.Tensor[], Output extends tf.Tensor | readonly tf.Tensor[]> = (
  ...inputs: { readonly [K in keyof Inputs]: Tensor }
) => Promise<Output extends tf.Tensor ? Tensor : readonly Tensor[]>;

/** What a call keeps for its backward pass. */
interface Kept {
  readonly tape: Tape;
  readonly handOver: HandOver;
  /** Ids of the inputs as tensors of tfjs. */
  readonly inputs: readonly number[];
}

/**
 * Makes a differentiable function of the library of a synchronous function on tensors of TensorFlow.js, for modules of your own. It runs
 * once per call: its operations are recorded, and the gradients are computed from the record. So it may draw random numbers, as dropout does.
 *
 * Inputs are on one device. On `'cpu'` and `'worker'` devices it computes with the backend of tfjs that is active at the call; on a `'webgpu'` device
 * with a WebGPU backend of tfjs on that very GPU, without copying. Tensors that it makes are freed, those that the gradients need when
 * the graph is.
 *
 * @param fn - takes and returns f32 tensors of tfjs; outputs of another type are converted to f32 and have no gradient. Variables of tfjs that it
 * uses are constants to the gradients: give what is trained as an input.
 *
 * @example
 * ```ts
 * const convolution = tfFunction((x: tf.Tensor4D, kernel: tf.Tensor4D) => tf.relu(tf.conv2d(x, kernel, 1, 'same')));
 *
 * class Block extends Module {
 *   readonly kernel = new Parameter(tensor(values, [3, 3, 16, 16]));
 *   async forward(x: Tensor): Promise<Tensor> {
 *     return convolution(x, this.kernel);   // x: (N, H, W, C), as tfjs has images
 *   }
 * }
 * ```
 *
 * @returns takes and returns tensors of the library: one for a tensor, an array for an array. It throws TypeError for inputs or outputs that are no
 * tensors, DeviceMismatchError for inputs on several devices, and what `fn` throws.
 * @throws TypeError for what is no function.
 */
export function tfFunction<const Inputs extends readonly tf.Tensor[], Output extends tf.Tensor | readonly tf.Tensor[]>(
  fn: FunctionOfTf<Inputs, Output>,
  options: TfFunctionOptions = {},
): FunctionOfTensors<Inputs, Output> {
  if (typeof fn !== 'function') {
    throw new TypeError(`tfFunction(): expected a function on tensors of TensorFlow.js, got ${typeof fn}`);
  }
  const { name = fn.name || 'tfFunction' } = options;
  const run = (given: readonly tf.Tensor[]): { readonly isMany: boolean; readonly outputs: readonly tf.Tensor[] } => {
    const output: unknown = fn(...(given as unknown as Inputs));
    const isMany = Array.isArray(output);
    return { isMany, outputs: checkOutputs(name, isMany ? (output as unknown[]) : [output]) };
  };
  const define = defineFunction<readonly Tensor[], Tensor | readonly Tensor[]>({
    name,
    async forward(context, ...inputs) {
      const handOver = await handOverFor(name, inputs);
      const toTf = await handOver.toTf(inputs);
      // Nothing is awaited from here on: replicas that run at the same time share the engine.
      const isRecorded = context.needsInputGrad.includes(true);
      const { isMany, made } = inBackend(handOver, () => {
        const given = toTf();
        if (!isRecorded) {
          const { isMany, outputs } = run(given);
          return { isMany, made: handOver.fromTf(outputs) };
        }
        const { result, nodes } = recorded(() => run(given));
        const wanted = given.filter((_, i) => context.needsInputGrad[i]);
        const tape = new Tape(nodes, wanted, result.outputs);
        context.onFree(() => tape.dispose());
        if (handOver.lend !== null) {
          context.saveForBackward(...inputs);
        }
        const kept: Kept = { tape, handOver, inputs: given.map(({ id }) => id) };
        Object.assign(context.attributes, kept);
        return { isMany: result.isMany, made: handOver.fromTf(result.outputs) };
      });
      const outputs = await made;
      return isMany ? outputs : single(outputs);
    },
    async backward(context, ...gradients) {
      const { tape, handOver, inputs } = context.attributes as unknown as Kept;
      handOver.lend?.(context.savedTensors);
      const toTf = await handOver.toTf(gradients);
      const places: number[] = [];
      const made = await inBackend(handOver, () => {
        const found = tape.backpropagate(toTf());
        const dxs: tf.Tensor[] = [];
        for (const [place, id] of inputs.entries()) {
          const dx = context.needsInputGrad[place] === true ? found.get(id) : undefined;
          if (dx !== undefined) {
            places.push(place);
            dxs.push(dx);
          }
        }
        return handOver.fromTf(dxs);
      });
      return inputs.map((_, place) => made[places.indexOf(place)] ?? null);
    },
  });
  return define as unknown as FunctionOfTensors<Inputs, Output>;
}

function inBackend<T>({ backend }: HandOver, work: () => T): T {
  return withBackend(backend, () => inScope(work));
}

function checkOutputs(name: string, outputs: readonly unknown[]): readonly tf.Tensor[] {
  outputs.forEach((output, i) => {
    if (!(output instanceof tf.Tensor)) {
      const remedy = output instanceof Promise ? 'a promise; the function must be synchronous' : typeof output;
      throw new TypeError(`${name}: expected a tensor of TensorFlow.js as output ${i}, got ${remedy}`);
    }
  });
  return outputs as readonly tf.Tensor[];
}

function single(outputs: readonly Tensor[]): Tensor {
  const [output] = outputs;
  if (output === undefined) {
    throw new Error('expected one output');
  }
  return output;
}
