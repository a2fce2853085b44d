/** Moving and rearranging storages: what tensors are made of, without shapes' meaning and without recording. */

import type { BatchLayout, Device, MemoryFormat } from '../device/device.ts';
import type { DeviceBuffer } from '../device/device.ts';
import { Storage } from './storage.ts';

/** Runs `work` while the storages cannot be freed, and once their devices are ready. */
export async function holding<T>(storages: readonly Storage[], work: () => T | Promise<T>): Promise<T> {
  storages.forEach((storage) => storage.retain());
  try {
    for (const { device } of storages) {
      if (!device.isReady) {
        await device.ready();
      }
    }
    return await work();
  } finally {
    storages.forEach((storage) => storage.release());
  }
}

/** New memory filled by `fill`; given back when `fill` fails. */
export async function filled(
  device: Device,
  length: number,
  fill: (buffer: DeviceBuffer) => void | Promise<void>,
): Promise<Storage> {
  const storage = Storage.allocate(device, length);
  try {
    await fill(storage.buffer);
    return storage;
  } catch (error) {
    storage.release();
    throw error;
  }
}

/** A copy on a device, which may be the storage's own. */
export function copyTo(source: Storage, device: Device): Promise<Storage> {
  return holding([source], async () => {
    if (!device.isReady) {
      await device.ready();
    }
    return filled(device, source.length, (buffer) =>
      device.copyRows(
        { buffer: source.buffer, offset: 0, stride: source.length },
        { buffer, offset: 0, stride: source.length },
        source.length,
        1,
      ),
    );
  });
}

/** A copy in the other memory format; `layout` tells the present one. */
export function permuted(source: Storage, layout: BatchLayout): Promise<Storage> {
  return holding([source], () =>
    filled(source.device, source.length, (buffer) => source.device.permute(source.buffer, buffer, layout)),
  );
}

/** The values in logical order. */
export function readLogical(source: Storage, layout: BatchLayout): Promise<Float32Array> {
  if (source.pendingData !== null) {
    return Promise.resolve(source.pendingData.slice());
  }
  return holding([source], async () => {
    if (layout.format === 'contiguous') {
      return source.device.read(source.buffer);
    }
    const rearranged = await permuted(source, layout);
    try {
      return await source.device.read(rearranged.buffer);
    } finally {
      rearranged.release();
    }
  });
}

/** Writes values given in logical order into memory of the format wanted. */
export function writeLogical(buffer: DeviceBuffer, data: Float32Array, layout: BatchLayout): void {
  const { device } = buffer;
  if (layout.format === 'contiguous') {
    device.write(buffer, data);
    return;
  }
  const given = device.allocate(data.length);
  try {
    device.write(given, data);
    device.permute(given, buffer, { ...layout, format: 'contiguous' });
  } finally {
    device.release(given);
  }
}

/** The same values in `format`: the storage itself, retained, when it has that format already. */
export async function inFormat(source: Storage, layout: BatchLayout, format: MemoryFormat): Promise<Storage> {
  return layout.format === format ? source.retain() : permuted(source, layout);
}
