/** Broadcast: one tensor, copied to every replica's device; the gradients of the copies are summed. */

import { withRoom } from '../device/awaited.ts';
import type { Device } from '../device/device.ts';
import { isGradEnabled } from '../tensor/grad_mode.ts';
import { type Gradients, GraphNode } from '../tensor/graph_node.ts';
import type { Storage } from '../tensor/storage.ts';
import { Tensor } from '../tensor/tensor.ts';
import { allOrNone } from '../tensor/all_or_none.ts';

/**
 * Copies of a tensor, one per device, outside every scope. On the tensor's own device the memory is shared; elsewhere it is
 * kept until the tensor changes, so that what has not changed is not sent again. Their gradients are summed onto the tensor
 * in order of replicas.
 * @returns the copies themselves where all are there already.
 */
export function broadcast(tensor: Tensor, devices: readonly Device[]): Tensor[] | Promise<Tensor[]> {
  const node = tensor.requiresGrad && isGradEnabled() ? nodeOf(tensor) : null;
  try {
    const storages = allOrNone(
      devices.map((device) => tensor.copies.on(device)),
      (copy) => copy.release(),
    );
    return storages instanceof Promise ? whenThere(tensor, storages, node) : copiesOf(tensor, storages, node);
  } catch (error) {
    node?.free();
    throw error;
  }
}

function nodeOf(tensor: Tensor): GraphNode<Tensor> {
  const { device: home } = tensor.storage;
  const backward = async (gradients: Gradients<Tensor>): Promise<Gradients<Tensor>> => [await sumOf(gradients, home)];
  return new GraphNode({ name: 'broadcast', inputs: [tensor], saved: [], backward });
}

async function whenThere(
  tensor: Tensor,
  storages: Promise<readonly Storage[]>,
  node: GraphNode<Tensor> | null,
): Promise<Tensor[]> {
  try {
    return copiesOf(tensor, await storages, node);
  } catch (error) {
    node?.free();
    throw error;
  }
}

/** Tensors of memory whose references pass to them. */
function copiesOf(
  { shape, memoryFormat }: Tensor,
  storages: readonly Storage[],
  node: GraphNode<Tensor> | null,
): Tensor[] {
  const copies: Tensor[] = [];
  for (const storage of storages) {
    const source = node && { node, index: copies.length };
    copies.push(new Tensor({ storage, shape, memoryFormat, source }).keep());
  }
  return copies;
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
