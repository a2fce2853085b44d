/** Scatter: every tensor among the inputs is cut along one dimension, a chunk for each replica. */

import type { Device } from '../device/device.ts';
import { formatShape, resolveDim } from '../tensor/shape.ts';
import { Tensor } from '../tensor/tensor.ts';
import { Cut } from './cut.ts';
import { record } from './record.ts';
import { chunkSizes, sizesFor } from './share_sizes.ts';
import type { SplitSizes } from './split_sizes.ts';
import { checkFinite, mapTensors, tensorsIn } from './structure.ts';

/** The inputs of every replica. */
export interface Scattered {
  /** One list of arguments per replica; fewer than devices when there are fewer chunks. */
  readonly inputs: readonly (readonly unknown[])[];
  /** Gives back the chunks, except those the caller still needs. */
  dispose(except: ReadonlySet<Tensor>): void;
}

/**
 * Distributes positional arguments. Tensors are cut and moved, gradients flow back; arrays and plain objects that hold
 * tensors are rebuilt around the chunks; everything else is shared by reference. Without a tensor every device gets the
 * same arguments; without an argument, one does.
 *
 * @param dim - the dimension to cut, negative from the end.
 * @param splitSizes - sizes of the chunks; `null`: equal ones.
 * @throws RangeError when two tensors would not give the same number of chunks, or one lacks the dimension or has another size than
 * `splitSizes` add up to.
 */
export async function scatter(
  inputs: readonly unknown[],
  devices: readonly Device[],
  dim: number,
  splitSizes: SplitSizes | null,
): Promise<Scattered> {
  checkFinite(inputs, 'scatter');
  const tensors = [...tensorsIn(inputs)];
  const splits = tensors.map((tensor) => splitOf(tensor, devices.length, dim, splitSizes));
  const count = chunkCount(splits, devices.length, dim) ?? (inputs.length === 0 ? 1 : devices.length);
  const chunks = new Map<Tensor, readonly Tensor[]>();
  const made = new Set<Tensor>();
  const dispose = (except: ReadonlySet<Tensor>): void => {
    made.forEach((chunk) => (except.has(chunk) ? undefined : chunk.dispose()));
  };
  try {
    for (const split of splits) {
      const { tensor } = split;
      const pieces = await scatterTensor(split, devices.slice(0, count));
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

/** How one tensor is cut. */
interface Split {
  readonly tensor: Tensor;
  /** Counted from the front. */
  readonly dim: number;
  readonly sizes: readonly number[];
}

function splitOf(tensor: Tensor, devices: number, dim: number, splitSizes: SplitSizes | null): Split {
  const { shape } = tensor;
  const at = resolveDim(dim, shape.length);
  const sizes = splitSizes === null ? chunkSizes(shape[at] ?? 0, devices) : sizesFor(splitSizes, shape, at, devices);
  return { tensor, dim: at, sizes };
}

/** How many chunks all tensors give; `null` without tensors. */
function chunkCount([first, ...others]: readonly Split[], devices: number, dim: number): number | null {
  const other = others.find(({ sizes }) => sizes.length !== first?.sizes.length);
  if (first !== undefined && other !== undefined) {
    throw new RangeError(
      `scatter: expected every tensor to give the same number of chunks along dimension ${dim}, got ${first.sizes.length} from shape ` +
        `${formatShape(first.tensor.shape)} and ${other.sizes.length} from shape ${formatShape(other.tensor.shape)} for ${devices} ` +
        `devices; give them equal sizes there`,
    );
  }
  return first?.sizes.length ?? null;
}

async function scatterTensor({ tensor: x, dim, sizes }: Split, devices: readonly Device[]): Promise<readonly Tensor[]> {
  const { shape, memoryFormat, storage } = x;
  const cut = new Cut(shape, memoryFormat, dim, sizes);
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
