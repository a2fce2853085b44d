/** Moving and rearranging storages: what tensors are made of, without shapes' meaning and without recording. */

import { awaited, isSynchronous } from '../device/awaited.ts';
import type { BatchLayout, Device, DeviceBuffer, MemoryFormat } from '../device/device.ts';
import { Storage } from './storage.ts';

/** Runs `work`, as {@link awaited} does, while the storages cannot be freed. */
export async function holding<T>(storages: readonly Storage[], work: () => T | Promise<T>): Promise<T> {
  storages.forEach((storage) => storage.retain());
  try {
    return await awaited(
      storages.map(({ device }) => device),
      work,
    );
  } finally {
    storages.forEach((storage) => storage.release());
  }
}

/**
 * Resolves once it is sure that what wrote the storages has not failed; `null` if it is sure now. A GPU says later that it has
 * refused a command whose memory its owner had destroyed, so whoever changes a state by what was computed asks first.
 */
export function confirmation(storages: Iterable<Storage | null | undefined>): Promise<void> | null {
  let doubts: Promise<void>[] | null = null;
  for (const storage of storages) {
    const isComputed = storage !== null && storage !== undefined && !storage.isPending;
    const doubt = isComputed ? (storage.device.confirm?.(storage.buffer) ?? null) : null;
    if (doubt !== null) {
      (doubts ??= []).push(doubt);
    }
  }
  return doubts && Promise.all(doubts).then(() => undefined);
}

/**
 * `keep()` once the storages are sure (see {@link confirmation}), which is at once for all that no memory of others takes part in, and in a
 * synchronous call, where `keep()` must be able to take back what it did; `discard()` when what wrote them has failed, or when `keep()` throws.
 */
export function whenConfirmed<T>(
  storages: Parameters<typeof confirmation>[0],
  keep: () => T,
  discard: () => void,
): T | Promise<T> {
  const confirming = isSynchronous() ? null : confirmation(storages);
  if (confirming !== null) {
    return confirming.then(keep).catch((error: unknown) => {
      discard();
      throw error;
    });
  }
  try {
    return keep();
  } catch (error) {
    discard();
    throw error;
  }
}

/** New memory on a ready device, filled by `fill`; given back when `fill` fails. */
export function filled(device: Device, length: number, fill: (buffer: DeviceBuffer) => void): Storage {
  const storage = Storage.allocate(device, length);
  try {
    fill(storage.buffer);
    return storage;
  } catch (error) {
    storage.release();
    throw error;
  }
}

/** A copy on the storage's own device, which must be ready and copies its own memory without waiting. */
export function duplicate(source: Storage): Storage {
  const { device, length } = source;
  const rows = { offset: 0, stride: length };
  return filled(device, length, (buffer) => {
    void device.copyRows({ buffer: source.buffer, ...rows }, { buffer, ...rows }, length, 1);
  });
}

/** A copy on a device, which may be the storage's own. */
export function copyTo(source: Storage, device: Device): Promise<Storage> {
  return holding([source], async () => {
    if (!device.isReady) {
      await device.ready();
    }
    const storage = Storage.allocate(device, source.length);
    try {
      const rows = { offset: 0, stride: source.length };
      await device.copyRows({ buffer: source.buffer, ...rows }, { buffer: storage.buffer, ...rows }, source.length, 1);
      await confirmation([storage]);
      return storage;
    } catch (error) {
      storage.release();
      throw error;
    }
  });
}

/**
 * The same values in `format`, on a ready device: the storage itself when it has that format already. Either way the caller
 * gets a reference to release.
 *
 * @param layout - tells the present format.
 */
export function inFormat(source: Storage, layout: BatchLayout, format: MemoryFormat): Storage {
  // Of no values there is nothing to rearrange.
  if (layout.format === format || source.length === 0) {
    return source.retain();
  }
  const { device, length, buffer } = source;
  return filled(device, length, (target) => device.run({ operation: 'permute', source: buffer, target, layout }));
}

/** Data given in logical order, as memory of the layout. */
export function placed(device: Device, data: Float32Array, layout: BatchLayout): Storage {
  const isArranged = layout.format === 'contiguous' || data.length === 0;
  return Storage.from(device, data, isArranged ? null : (buffer, given) => writeLogical(buffer, given, layout));
}

/** Writes values given in logical order into memory of another format. */
function writeLogical(buffer: DeviceBuffer, data: Float32Array, layout: BatchLayout): void {
  const { device } = buffer;
  const given = filled(device, data.length, (target) => device.write(target, data));
  try {
    const contiguous = { ...layout, format: 'contiguous' as const };
    device.run({ operation: 'permute', source: given.buffer, target: buffer, layout: contiguous });
  } finally {
    given.release();
  }
}
