/** Small differentiable operations on the host, from which tests build graphs. */

import { defineFunction, tensor, type Tensor } from 'syncbn';

/** a + b, element by element. */
export const add = defineFunction({
  name: 'add',
  forward: async (_context, a: Tensor, b: Tensor) => {
    const [left, right] = await Promise.all([a.data(), b.data()]);
    return alike(
      a,
      left.map((value, i) => value + (right[i] ?? Number.NaN)),
    );
  },
  backward: (_context, dy) => [dy, dy],
});

/** factor · x. */
export const scale = defineFunction({
  name: 'scale',
  forward: async (context, x: Tensor, factor: number) => {
    context.attributes['factor'] = factor;
    return alike(
      x,
      (await x.data()).map((value) => value * factor),
    );
  },
  backward: async (context, dy) => [
    alike(
      dy,
      (await dy.data()).map((value) => value * Number(context.attributes['factor'])),
    ),
    null,
  ],
});

/** a · b, element by element; needs its inputs in the backward pass. */
export const multiply = defineFunction({
  name: 'multiply',
  forward: async (context, a: Tensor, b: Tensor) => {
    context.saveForBackward(a, b);
    return product(a, b);
  },
  backward: async (context, dy) => {
    const [a, b] = context.savedTensors;
    if (a === undefined || b === undefined) {
      throw new Error('expected two saved tensors');
    }
    return [
      context.needsInputGrad[0] === true ? await product(dy, b) : null,
      context.needsInputGrad[1] === true ? await product(dy, a) : null,
    ];
  },
});

/** Σ x · weights, a tensor of one element: a loss whose gradient is `weights`, which no symmetry hides. */
export const weightedSum = defineFunction({
  name: 'weightedSum',
  forward: async (context, x: Tensor, weights: Float32Array) => {
    context.attributes['weights'] = weights;
    context.attributes['shape'] = x.shape;
    const sum = (await x.data()).reduce((total, value, i) => total + value * (weights[i] ?? Number.NaN), 0);
    return tensor([sum], [], { device: x.device });
  },
  backward: async (context, dy) => {
    const factor = await dy.item();
    const weights = context.attributes['weights'] as Float32Array;
    const gradient = weights.map((weight) => weight * factor);
    return [tensor(gradient, context.attributes['shape'] as number[], { device: dy.device }), null];
  },
});

/** A tensor of the shape and on the device of another. */
export function alike(model: Tensor, data: Float32Array): Tensor {
  return tensor(data, model.shape, { device: model.device, memoryFormat: model.memoryFormat });
}

async function product(a: Tensor, b: Tensor): Promise<Tensor> {
  const [left, right] = await Promise.all([a.data(), b.data()]);
  return alike(
    a,
    left.map((value, i) => value * (right[i] ?? Number.NaN)),
  );
}
