/** Gradients through what the engine of tfjs has recorded: for several outputs at once, and later than the run of the function. */

import * as tf from '@tensorflow/tfjs-core';
import { disposeSaved, type TapeNode } from './engine.ts';

/** Gradients by id of a tensor; absent where none arrives. */
export type GradientsById = ReadonlyMap<number, tf.Tensor>;

/** What one run of a function has recorded. `tf.grads` does the same within one call, which runs the function too. */
export class Tape {
  readonly #inputs: ReadonlySet<number>;
  readonly #outputs: readonly Pick<tf.Tensor, 'id' | 'dtype'>[];
  /** Those between inputs and outputs, in order of computation. */
  #nodes: readonly TapeNode[];
  /** Ids of the tensors that depend on an input. */
  readonly #dependent: ReadonlySet<number>;

  /**
   * @param nodes - in order of computation; what those have saved that are not needed is freed.
   * @param inputs - the tensors whose gradients will be wanted.
   */
  constructor(nodes: readonly TapeNode[], inputs: readonly tf.Tensor[], outputs: readonly tf.Tensor[]) {
    this.#inputs = new Set(inputs.map(({ id }) => id));
    this.#outputs = outputs.map(({ id, dtype }) => ({ id, dtype }));
    this.#dependent = dependentOn(this.#inputs, nodes);
    const needed = neededFor(this.#outputs, nodes);
    const isBetween = (node: TapeNode): boolean =>
      node.outputs.some(({ id }) => needed.has(id)) && node.outputs.some(({ id }) => this.#dependent.has(id));
    this.#nodes = nodes.filter(isBetween);
    disposeSaved(nodes.filter((node) => !isBetween(node)));
  }

  /**
   * The gradients of the inputs, and perhaps of other tensors. To be called in a scope of tfjs, with the backend of the recording.
   * @param dys - one per output; those of outputs that are no floats are ignored.
   * @throws Error where an operation on the way has no gradient.
   */
  backpropagate(dys: readonly tf.Tensor[]): GradientsById {
    const gradients = new Map<number, tf.Tensor>();
    const deliver = (id: number, dy: tf.Tensor): void => {
      const sum = gradients.get(id);
      gradients.set(id, sum === undefined ? dy : tf.add(sum, dy));
    };
    this.#outputs.forEach(({ id, dtype }, i) => {
      const dy = dys[i];
      if (dtype === 'float32' && dy !== undefined) {
        deliver(id, dy);
      }
    });
    for (const node of [...this.#nodes].reverse()) {
      const given = node.outputs.map(({ id }) => gradients.get(id) ?? null);
      if (given.some((dy) => dy !== null)) {
        this.#passThrough(node, given, deliver);
        // Nobody earlier on the tape adds to these.
        const used = node.outputs.filter(({ id }) => !this.#inputs.has(id)).map(({ id }) => id);
        used.forEach((id) => free(gradients, id, dys));
      }
    }
    return gradients;
  }

  /** Frees what was saved. Idempotent. */
  dispose(): void {
    disposeSaved(this.#nodes);
    this.#nodes = [];
  }

  #passThrough(
    { kernelName, gradient, inputs }: TapeNode,
    dys: readonly (tf.Tensor | null)[],
    deliver: (id: number, dx: tf.Tensor) => void,
  ): void {
    if (gradient === undefined) {
      throw new Error(
        `TensorFlow.js has no gradient for ${kernelName}: keep it out of what is trained, or give it one by tf.customGrad()`,
      );
    }
    const dxs = gradient(dys);
    for (const [name, input] of Object.entries(inputs)) {
      if (input && this.#dependent.has(input.id)) {
        const dx = dxs[name];
        if (dx === undefined) {
          throw new Error(`TensorFlow.js has no gradient for the input ${name} of ${kernelName}`);
        }
        deliver(input.id, tf.tidy(dx));
      }
    }
  }
}

/** Ids of the inputs and of all that is computed of them. */
function dependentOn(inputs: ReadonlySet<number>, nodes: readonly TapeNode[]): Set<number> {
  const found = new Set(inputs);
  for (const node of nodes) {
    if (Object.values(node.inputs).some((input) => input && found.has(input.id))) {
      node.outputs.forEach(({ id }) => found.add(id));
    }
  }
  return found;
}

/** Ids of the outputs and of all that they are computed of. */
function neededFor(outputs: readonly Pick<tf.Tensor, 'id'>[], nodes: readonly TapeNode[]): Set<number> {
  const found = new Set(outputs.map(({ id }) => id));
  for (const node of [...nodes].reverse()) {
    if (node.outputs.some(({ id }) => found.has(id))) {
      Object.values(node.inputs).forEach((input) => input && found.add(input.id));
    }
  }
  return found;
}

/** Frees a gradient that has been used, unless the caller or a later node has the same tensor. */
function free(gradients: Map<number, tf.Tensor>, id: number, kept: readonly tf.Tensor[]): void {
  const gradient = gradients.get(id);
  gradients.delete(id);
  if (gradient !== undefined && !kept.includes(gradient) && ![...gradients.values()].includes(gradient)) {
    gradient.dispose();
  }
}
