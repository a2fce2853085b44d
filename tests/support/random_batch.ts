/** Batches and layers with random values, and what tensors hold. */

import { tensor, type BatchNorm, type Tensor } from 'syncbn';
import { elementCount, type Shape } from '../../ts/tensor/shape.ts';
import { randomArray } from './random.ts';

/** A batch of mean 0.5 and deviation 2. */
export function randomBatch(device: string, shape: Shape, seed = 1, requiresGrad = false): Tensor {
  return tensor(randomArray(seed, elementCount(shape), { offset: 0.5, scale: 2 }), shape, { device, requiresGrad });
}

/** The layer, with random weight and bias where it has them. */
export async function withRandomParameters<L extends BatchNorm>(layer: L): Promise<L> {
  await layer.weight?.copy_(randomArray(11, layer.numFeatures, { offset: 1 }));
  await layer.bias?.copy_(randomArray(12, layer.numFeatures));
  return layer;
}

/** The elements; none of an absent tensor. */
export async function valuesOf(item: Tensor | null | undefined): Promise<Float32Array> {
  return (await item?.data()) ?? new Float32Array();
}
