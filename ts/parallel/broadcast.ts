/** Broadcast: one tensor, copied to every replica's device; the gradients of the copies are summed. */

import type { Device } from '../device/device.ts';
import type { Gradients } from '../tensor/graph_node.ts';
import type { Storage } from '../tensor/storage.ts';
import { copyTo, holding } from '../tensor/storage_ops.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { record } from './record.ts';

/**
 * Copies of a tensor, one per device, outside every scope. On the tensor's own device the memory is shared. Their gradients
 * are summed onto the tensor in order of replicas.
 */
export async function broadcast(tensor: Tensor, devices: readonly Device[]): Promise<Tensor[]> {
  const { shape, memoryFormat, storage } = tensor;
  const { device } = storage;
  const copies = await record({
    name: 'broadcast',
    inputs: [tensor],
    forward: async () => (await copiesOf(storage, devices)).map((copy) => ({ storage: copy, shape, memoryFormat })),
    backward: async (gradients) => [await sumOf(gradients, device)],
  });
  return copies.map((copy) => copy.keep());
}

function copiesOf(source: Storage, devices: readonly Device[]): Promise<Storage[]> {
  return holding([source], async () => {
    const copies: Storage[] = [];
    try {
      for (const device of devices) {
        copies.push(source.device === device ? source.retain() : await copyTo(source, device));
      }
      return copies;
    } catch (error) {
      copies.forEach((copy) => copy.release());
      throw error;
    }
  });
}

/** Sum on one device, in order; the tape owns the gradients given and disposes them. */
async function sumOf(gradients: Gradients, device: Device): Promise<Tensor | null> {
  let sum: Tensor | null = null;
  for (const gradient of gradients) {
    if (gradient !== null) {
      const here: Tensor = await gradient.to(device.name);
      sum = sum === null ? here : added(sum, here);
    }
  }
  return sum;
}

/** The sum of two tensors that nobody else needs; both are disposed, also when there is no room for it. */
function added(sum: Tensor, addend: Tensor): Tensor {
  try {
    return sum.plus(addend);
  } finally {
    sum.dispose();
    addend.dispose();
  }
}
