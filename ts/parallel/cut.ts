/** Cutting memory along one dimension, and putting it together again, across devices. */

import { awaited, withRoom } from '../device/awaited.ts';
import type { Device, MemoryFormat, Rows } from '../device/device.ts';
import { elementCount, physicalDim, physicalShape, type Shape } from '../tensor/shape.ts';
import { Storage } from '../tensor/storage.ts';
import { copyTo, holding } from '../tensor/storage_ops.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { allOrNone } from '../tensor/all_or_none.ts';

/** One dimension of a shape, cut into consecutive pieces. */
export class Cut {
  readonly shape: Shape;
  readonly memoryFormat: MemoryFormat;
  /** Sizes of the pieces along the dimension. */
  readonly sizes: readonly number[];
  private readonly dim: number;
  /** In memory: how many rows the dimension is found in, and how many values one index of it takes in each. */
  private readonly rows: number;
  private readonly width: number;

  /** @param dim - the logical dimension, counted from the front; `sizes` add up to its size in `shape`. */
  constructor(shape: Shape, memoryFormat: MemoryFormat, dim: number, sizes: readonly number[]) {
    const physical = physicalShape(shape, memoryFormat);
    const at = physicalDim(dim, shape.length, memoryFormat);
    this.shape = shape;
    this.memoryFormat = memoryFormat;
    this.sizes = sizes;
    this.dim = dim;
    this.rows = elementCount(physical.slice(0, at));
    this.width = elementCount(physical.slice(at + 1));
  }

  /** Shape of piece i. */
  shapeOf(piece: number): Shape {
    return this.shape.map((size, dim) => (dim === this.dim ? (this.sizes[piece] ?? 0) : size));
  }

  /**
   * The pieces of a whole, one on each device. A single piece that stays where it is shares the memory.
   * @returns one reference each, which the caller must release.
   */
  split(whole: Storage, devices: readonly Device[]): Promise<Storage[]> {
    const [only] = devices;
    return holding([whole], () =>
      allOrNone(
        devices.length === 1 && only
          ? [moved(whole, only)]
          : devices.map((device, i) => this.cutOut(whole, this.offset(i), this.pieceLength(i), device)),
        (piece) => piece.release(),
      ),
    );
  }

  /**
   * The whole of the pieces, which may be of either memory format; a missing one is zeros. The pieces' devices are ready.
   * @returns a reference that the caller must release.
   */
  async join(pieces: readonly (Tensor | null)[], device: Device): Promise<Storage> {
    const arranged = await withRoom(() => this.arrange(pieces));
    try {
      const [only] = arranged;
      return await (arranged.length === 1 && only ? moved(only, device) : this.paste(arranged, device));
    } finally {
      arranged.forEach((storage) => storage?.release());
    }
  }

  /** The pieces in the memory format of the whole: references to release, all or none. */
  private arrange(pieces: readonly (Tensor | null)[]): readonly (Storage | null)[] {
    const arranged: (Storage | null)[] = [];
    try {
      for (const piece of pieces) {
        arranged.push(piece?.inFormat(this.memoryFormat) ?? null);
      }
      return arranged;
    } catch (error) {
      arranged.forEach((storage) => storage?.release());
      throw error;
    }
  }

  private async cutOut(whole: Storage, offset: number, rowLength: number, device: Device): Promise<Storage> {
    return awaited([device], () =>
      filling(device, this.rows * rowLength, (piece) =>
        device.copyRows(
          { buffer: whole.buffer, offset, stride: this.rowLength },
          { buffer: piece.buffer, offset: 0, stride: rowLength },
          rowLength,
          this.rows,
        ),
      ),
    );
  }

  private async paste(pieces: readonly (Storage | null)[], device: Device): Promise<Storage> {
    const fill = async (whole: Storage): Promise<void> => {
      if (pieces.includes(null)) {
        device.run({ operation: 'fill', target: whole.buffer, value: 0 });
      }
      const target = (i: number): Rows => ({ buffer: whole.buffer, offset: this.offset(i), stride: this.rowLength });
      await allOrNone(
        pieces.map(async (piece, i) => {
          const rowLength = this.pieceLength(i);
          if (piece !== null) {
            const from = { buffer: piece.buffer, offset: 0, stride: rowLength };
            await device.copyRows(from, target(i), rowLength, this.rows);
          }
        }),
        () => undefined,
      );
    };
    return awaited([device], () => filling(device, this.rows * this.rowLength, fill));
  }

  /** Values of piece i in each row. */
  private pieceLength(piece: number): number {
    return (this.sizes[piece] ?? 0) * this.width;
  }

  /** Where piece i begins in each row. */
  private offset(piece: number): number {
    return this.sizes.slice(0, piece).reduce((sum, size) => sum + size, 0) * this.width;
  }

  private get rowLength(): number {
    return this.offset(this.sizes.length);
  }
}

/** The storage itself, retained, where it is on the device already. */
async function moved(source: Storage, device: Device): Promise<Storage> {
  return source.device === device ? source.retain() : copyTo(source, device);
}

/** New memory, given back when filling it fails. */
async function filling(
  device: Device,
  length: number,
  fill: (storage: Storage) => void | Promise<void>,
): Promise<Storage> {
  const storage = Storage.allocate(device, length);
  try {
    await fill(storage);
    return storage;
  } catch (error) {
    storage.release();
    throw error;
  }
}
