/** Vitest gives every test file a program of its own, so nothing is initialised when this one begins. */

import { BatchNorm1d, devices, init, OutOfMemoryError, tensor } from 'syncbn';
import { describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';

describe('before anything is initialised', () => {
  it('tensors hold their data on the host, and devices hold nothing', async () => {
    const values = Float32Array.of(1, 2, 3, 4);
    const x = tensor(values, [2, 2]);
    values[0] = 9;
    expectSameBits(await x.data(), [1, 2, 3, 4]);
    expect(devices.get('cpu').isReady).toBe(false);
    expect(devices.get('cpu').memoryUsage().bytesInUse).toBe(0);
    x.dispose();
  });

  it('the first operation initialises', async () => {
    const bn = new BatchNorm1d(1, { device: 'cpu:1' });
    const y = await bn.forward(tensor([1, 3], [2, 1], { device: 'cpu:1' }));
    expect(devices.get('cpu:1').isReady).toBe(true);
    expect((await y.data())[1]).toBeCloseTo(1, 4);
  });

  it('data for which there is no room keeps waiting on the host', async () => {
    const bn = new BatchNorm1d(1, { device: 'cpu:3' });
    const x = tensor(new Float32Array(1000), [1000, 1], { device: 'cpu:3' });
    devices.get('cpu:3').memoryLimit = 1000;
    await expect(bn.forward(x)).rejects.toThrow(OutOfMemoryError);
    expect((await x.data()).length).toBe(1000);
    devices.get('cpu:3').memoryLimit = Infinity;
    expect((await bn.forward(x)).shape).toEqual([1000, 1]);
    expect(bn.numBatchesTracked).toBe(1);
  });

  it('init() makes the named devices ready', async () => {
    await init(['cpu:2']);
    expect(devices.get('cpu:2').isReady).toBe(true);
    const before = devices.get('cpu:2').memoryUsage().bytesInUse;
    const x = tensor([1, 2], [2], { device: 'cpu:2' });
    expect(devices.get('cpu:2').memoryUsage().bytesInUse).toBeGreaterThan(before);
    x.dispose();
    expect(devices.get('cpu:2').memoryUsage().bytesInUse).toBe(before);
  });

  it('lists the devices made so far in order', () => {
    devices.get('cpu:10');
    const list = devices.list().filter((name) => name.startsWith('cpu'));
    expect(list).toEqual(['cpu:0', 'cpu:1', 'cpu:2', 'cpu:3', 'cpu:10']);
    expect(devices.describe().map(({ name, kind }) => `${kind} ${name}`)).toContain('cpu cpu:2');
  });
});
