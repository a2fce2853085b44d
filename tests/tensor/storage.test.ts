/** Counting who uses memory: what a mistake in the count does, and a failure in between. */

import { devices } from 'syncbn';
import { describe, expect, it } from 'vitest';
import { Storage } from '../../ts/tensor/storage.ts';
import { freshDevice } from '../support/fresh_device.ts';

describe('a storage', () => {
  it('that is released more often than it was retained says so, and frees nothing twice', async () => {
    const device = devices.get(await freshDevice('cpu'));
    const storage = Storage.allocate(device, 4);
    storage.retain().release();
    storage.release();
    expect(() => storage.release()).toThrow('a storage was released more often than it was retained');
    expect(device.memoryUsage().buffers).toBe(0);
  });

  const fail = (): never => {
    throw new Error('no room for what placing needs');
  };

  it('gives its memory back when its data cannot be placed', async () => {
    const device = devices.get(await freshDevice('cpu'));
    expect(() => Storage.from(device, Float32Array.of(1), fail)).toThrow('no room');
    expect(device.memoryUsage().buffers).toBe(0);
  });

  it('gives its memory back when data that has waited cannot be placed, and keeps the data', async () => {
    const device = devices.get('cpu:63');
    const storage = Storage.from(device, Float32Array.of(1), fail);
    await device.ready();
    expect(() => storage.buffer).toThrow('no room');
    expect(device.memoryUsage().buffers).toBe(0);
    expect(storage.isPending).toBe(true);
  });
});
