import { devices, tensor } from 'syncbn';
import { describe, expect, it } from 'vitest';
import { deviceKinds } from '../support/device_kinds.ts';
import { collectUntil } from '../support/event_loop.ts';
import { freshDevice } from '../support/fresh_device.ts';
import { multiply } from '../support/operations.ts';

describe.each(deviceKinds)('the garbage collector on %s', (kind) => {
  it('gives back what was never disposed: tensors, and graphs with what they saved', async () => {
    const device = await freshDevice(kind);
    const buffers = (): number => devices.get(device).memoryUsage().buffers;
    const forget = async (): Promise<void> => {
      const x = tensor([1, 2], [2], { device, requiresGrad: true });
      await multiply(await multiply(x, x), x);
    };
    await forget();
    expect(buffers()).toBeGreaterThan(0);
    await collectUntil(() => buffers() === 0);
    expect(buffers()).toBe(0);
  });

  it('takes nothing that is held', async () => {
    const device = await freshDevice(kind);
    const held = tensor([1, 2], [2], { device });
    const forgotten = new WeakRef(tensor([3], [1], { device }));
    await collectUntil(() => forgotten.deref() === undefined && devices.get(device).memoryUsage().buffers === 1);
    expect(await held.data()).toEqual(Float32Array.of(1, 2));
  });
});
