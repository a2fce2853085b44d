/** Broadcast: one tensor, copied to every replica's device; the gradients of the copies are summed. */

import { withRoom } from '../device/awaited.ts';
import type { Device } from '../device/device.ts';
import type { Gradients } from '../tensor/graph_node.ts';
import type { Storage } from '../tensor/storage.ts';
import type { Tensor, TensorParts } from '../tensor/tensor.ts';
import { allOrNone } from '../tensor/all_or_none.ts';
import { record } from './record.ts';

/**
 * Copies of a tensor, one per device, outside every scope. On the tensor's own device the memory is shared; elsewhere it is
 * kept until the tensor changes, so that what has not changed is not sent again. Their gradients are summed onto the tensor
 * in order of replicas.
 * @returns the copies themselves where all are there already.
 */
export function broadcast(tensor: Tensor, devices: readonly Device[]): Tensor[] | Promise<Tensor[]> {
  const { shape, memoryFormat } = tensor;
  const { device: home } = tensor.storage;
  const partsOf = (storages: readonly Storage[]): TensorParts[] =>
    storages.map((storage) => ({ storage, shape, memoryFormat }));
  const copies = record({
    name: 'broadcast',
    inputs: [tensor],
    forward: () => {
      const attempts = devices.map((device) => tensor.copies.on(device));
      const storages = allOrNone(attempts, (copy) => copy.release());
      return storages instanceof Promise ? storages.then(partsOf) : partsOf(storages);
    },
    backward: async (gradients) => [await sumOf(gradients, home)],
  });
  return copies instanceof Promise ? copies.then(keepAll) : keepAll(copies);
}

function keepAll(copies: readonly Tensor[]): Tensor[] {
  return copies.map((copy) => copy.keep());
}

/** Sum on one device, in order; the tape owns the gradients given and disposes them. */
async function sumOf(gradients: Gradients<Tensor>, device: Device): Promise<Tensor | null> {
  let sum: Tensor | null = null;
  try {
    for (const gradient of gradients) {
      if (gradient !== null) {
        const here: Tensor = await gradient.to(device.name);
        sum = sum === null ? here : await added(sum, here);
      }
    }
    return sum;
  } catch (error) {
    sum?.dispose();
    throw error;
  }
}

/** The sum of two tensors that nobody else needs; both are disposed, also when there is no room for it. */
async function added(sum: Tensor, addend: Tensor): Promise<Tensor> {
  try {
    return await withRoom(() => sum.plus(addend));
  } finally {
    sum.dispose();
    addend.dispose();
  }
}
