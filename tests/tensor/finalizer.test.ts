import { devices, tensor } from 'syncbn';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { deviceKinds } from '../support/device_kinds.ts';
import { Storage } from '../../ts/tensor/storage.ts';
import { collectUntil, endOfTick } from '../support/event_loop.ts';
import { freshDevice } from '../support/fresh_device.ts';
import { multiply } from '../support/operations.ts';

afterEach(() => vi.restoreAllMocks());

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

  it('gives back more than waits for the end of the tick at once', async () => {
    const device = await freshDevice(kind);
    const buffers = (): number => devices.get(device).memoryUsage().buffers;
    const held = tensor([0], [1], { device });
    Array.from({ length: 2500 }, (_, i) => tensor([i], [1], { device }));
    expect(buffers()).toBe(2501);
    await collectUntil(() => buffers() === 1);
    expect(buffers()).toBe(1);
    expect(await held.data()).toEqual(Float32Array.of(0));
  });

  it('is told of what is left at the end of a tick, and of nothing else', async () => {
    const device = await freshDevice(kind);
    await endOfTick();
    const register = vi.spyOn(FinalizationRegistry.prototype, 'register');
    const unregister = vi.spyOn(FinalizationRegistry.prototype, 'unregister');
    // The bindings of GPUs have finalizers too.
    const storagesIn = ({ mock }: { readonly mock: { readonly calls: readonly unknown[][] } }): number =>
      mock.calls.filter((call) => call.some((argument) => argument instanceof Storage)).length;
    const left = [1, 2, 3].map((value) => tensor([value], [1], { device }));
    left.pop()?.dispose();
    await endOfTick();
    expect([register, unregister].map(storagesIn)).toEqual([2, 0]);
    left.forEach((tensor) => tensor.dispose());
    expect(storagesIn(unregister)).toBe(2);
  });

  it('takes nothing that is held', async () => {
    const device = await freshDevice(kind);
    const held = tensor([1, 2], [2], { device });
    const forgotten = new WeakRef(tensor([3], [1], { device }));
    await collectUntil(() => forgotten.deref() === undefined && devices.get(device).memoryUsage().buffers === 1);
    expect(await held.data()).toEqual(Float32Array.of(1, 2));
  });
});
