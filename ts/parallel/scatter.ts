/** Scatter: every tensor among the inputs is cut along one dimension, a chunk for each replica. */

import type { Device } from '../device/device.ts';
import { formatShape, resolveDim, type Shape } from '../tensor/shape.ts';
import { Tensor } from '../tensor/tensor.ts';
import { Cut } from './cut.ts';
import { record } from './record.ts';
import { checkFinite, mapTensors, tensorsIn } from './structure.ts';

/** The inputs of every replica. */
export interface Scattered {
  /** One list of arguments per replica; fewer than devices when there are fewer chunks. */
  readonly inputs: readonly (readonly unknown[])[];
  /** Gives back the chunks, except those the caller still needs. */
  dispose(except: ReadonlySet<Tensor>): void;
}

/**
 * Sizes of the chunks of a dimension for k devices: ⌈size / k⌉ each, so that there may be fewer chunks than devices.
 * A dimension of size 0 is one empty chunk. Source: `torch.chunk`.
 */
export function chunkSizes(size: number, devices: number): number[] {
  const chunk = Math.max(Math.ceil(size / devices), 1);
  const count = Math.max(Math.ceil(size / chunk), 1);
  return Array.from({ length: count }, (_, i) => Math.min(chunk, size - i * chunk));
}

/**
 * Distributes positional arguments. Tensors are cut and moved, gradients flow back; arrays and plain objects that hold
 * tensors are rebuilt around the chunks; everything else is shared by reference. Without a tensor every device gets the
 * same arguments; without an argument, one does.
 *
 * @param dim - the dimension to cut, negative from the end.
 * @throws RangeError when two tensors would not give the same number of chunks, or one lacks the dimension.
 */
export async function scatter(inputs: readonly unknown[], devices: readonly Device[], dim: number): Promise<Scattered> {
  checkFinite(inputs, 'scatter');
  const tensors = [...tensorsIn(inputs)];
  const count = chunkCount(tensors, devices.length, dim) ?? (inputs.length === 0 ? 1 : devices.length);
  const chunks = new Map<Tensor, readonly Tensor[]>();
  const made = new Set<Tensor>();
  const dispose = (except: ReadonlySet<Tensor>): void => {
    made.forEach((chunk) => (except.has(chunk) ? undefined : chunk.dispose()));
  };
  try {
    for (const tensor of tensors) {
      const pieces = await scatterTensor(tensor, devices.slice(0, count), resolveDim(dim, tensor.shape.length));
      chunks.set(tensor, pieces);
      pieces.filter((piece) => piece !== tensor).forEach((piece) => made.add(piece));
    }
  } catch (error) {
    dispose(new Set());
    throw error;
  }
  tensors
    .filter((tensor) => tensor.isDonated && !chunks.get(tensor)?.includes(tensor))
    .forEach((tensor) => tensor.dispose());
  const replicas = Array.from({ length: count }, (_, r) =>
    inputs.map((input) => mapTensors(input, (tensor) => chunks.get(tensor)?.[r] ?? tensor)),
  );
  return { inputs: replicas, dispose };
}

/** How many chunks all tensors give; `null` without tensors. */
function chunkCount(tensors: readonly Tensor[], devices: number, dim: number): number | null {
  let first: { readonly count: number; readonly shape: Shape } | null = null;
  for (const { shape } of tensors) {
    const count = chunkSizes(shape[resolveDim(dim, shape.length)] ?? 0, devices).length;
    first ??= { count, shape };
    if (count !== first.count) {
      throw new RangeError(
        `scatter: expected every tensor to give the same number of chunks along dimension ${dim}, got ${first.count} from shape ` +
          `${formatShape(first.shape)} and ${count} from shape ${formatShape(shape)} for ${devices} devices; give them equal sizes there`,
      );
    }
  }
  return first?.count ?? null;
}

async function scatterTensor(x: Tensor, devices: readonly Device[], dim: number): Promise<readonly Tensor[]> {
  const { shape, memoryFormat, storage } = x;
  const cut = new Cut(shape, memoryFormat, dim, chunkSizes(shape[dim] ?? 0, devices.length));
  if (devices.length === 1 && storage.device === devices[0]) {
    return [x];
  }
  const { device } = storage;
  return record({
    name: 'scatter',
    inputs: [x],
    forward: async () => {
      const pieces = await cut.split(storage, devices);
      return pieces.map((piece, i) => ({ storage: piece, shape: cut.shapeOf(i), memoryFormat }));
    },
    backward: async (gradients) => {
      const pieces = cut.sizes.map((_, i) => gradients[i] ?? null);
      return [new Tensor({ storage: await cut.join(pieces, device), shape, memoryFormat })];
    },
  });
}
