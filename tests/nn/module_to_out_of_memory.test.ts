import { BatchNorm1d, devices, init, OutOfMemoryError, Sequential } from 'syncbn';
import { afterEach, describe, expect, it } from 'vitest';
import { deviceKinds, deviceNames } from '../support/device_kinds.ts';

describe.each(deviceKinds)('to() on %s', (kind) => {
  const [device = '', other = ''] = deviceNames(kind, 2);

  afterEach(() => {
    devices.get(other).memoryLimit = Infinity;
  });

  it('moves nothing when the target has no room for everything', async () => {
    await init([device, other]);
    const net = new Sequential(new BatchNorm1d(1000, { device }), new BatchNorm1d(1000, { device }));
    const before = devices.get(other).memoryUsage();
    devices.get(other).memoryLimit = before.bytesInUse + 5 * 4000;
    await expect(net.to(other)).rejects.toThrow(OutOfMemoryError);
    expect([...net.parameters(), ...net.buffers()].map((item) => item.device)).toEqual(Array(8).fill(device));
    expect(devices.get(other).memoryUsage().buffers).toBe(before.buffers);
  });
});
