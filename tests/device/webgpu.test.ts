/** WebGPU devices on whatever adapter there is: the layer on one, on several, and beside other kinds; and what a page shares. */

import {
  DataParallelWithCallBack,
  DeviceLimitError,
  DeviceLostError,
  DeviceMismatchError,
  devices,
  init,
  SynchronizedBatchNorm2d,
  tensor,
  tensorFromGPUBuffer,
} from 'syncbn';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { MemoryFormat } from '../../ts/device/device.ts';
import { expectSameBits } from '../support/bits.ts';
import { endOfTick } from '../support/event_loop.ts';
import { largestDifference } from '../support/tolerances.ts';
import { randomArray } from '../support/random.ts';

beforeAll(() => init(['webgpu:0', 'webgpu:1', 'webgpu:2']));
afterAll(() => devices.close());

const shape = [5, 3, 6, 7] as const;
const size = 5 * 3 * 6 * 7;
const quantities = ['y', 'dx', 'dweight', 'dbias', 'running_mean', 'running_var'] as const;

/** One training step of a synchronized layer over devices; what it gives, in the order of `quantities`. */
async function step(names: readonly string[], memoryFormat: MemoryFormat): Promise<Float32Array[]> {
  const [device = ''] = names;
  const layer = new SynchronizedBatchNorm2d(3, { device });
  const net = new DataParallelWithCallBack(layer, { deviceIds: names });
  const x = tensor(randomArray(1, size), shape, { device, memoryFormat, requiresGrad: true });
  const y = await net.forward(x);
  await y.backward(tensor(randomArray(2, size), shape, { device }));
  const { weight, bias, runningMean, runningVar } = layer;
  const results = [y, x.grad, weight?.grad, bias?.grad, runningMean, runningVar];
  return Promise.all(results.map(async (result) => (await result?.data()) ?? new Float32Array()));
}

describe.each(['contiguous', 'channels_last'] satisfies MemoryFormat[])('a training step, %s', (format) => {
  it.each([2, 3])('on %d devices has the bits of one', async (count) => {
    const one = await step(['webgpu:0'], format);
    const several = await step(['webgpu:0', 'webgpu:1', 'webgpu:2'].slice(0, count), format);
    quantities.forEach((name, i) => expectSameBits(several[i] ?? [], one[i] ?? [], name));
  });

  it.each([
    ['one GPU', ['webgpu:0']],
    ['the calling thread and a GPU', ['cpu:0', 'webgpu:1']],
    ['a GPU, the calling thread and a worker', ['webgpu:0', 'cpu:0', 'worker:0']],
  ])('on %s is that of the CPU', async (_claim, names) => {
    const expected = await step(['cpu:0'], format);
    const results = await step(names, format);
    quantities.forEach((name, i) => {
      const wanted = expected[i] ?? new Float32Array();
      const largest = Math.max(...wanted.map(Math.abs));
      expect(results[i]?.length, name).toBe(wanted.length);
      expect(largestDifference(results[i] ?? [], wanted), name).toBeLessThanOrEqual(1e-5 * Math.max(1, largest));
    });
  });
});

describe('commands', () => {
  const submits = (): number => devices.describe().find(({ name }) => name === 'webgpu:1')?.work?.submits ?? Number.NaN;

  /** Passes of that many layers, each of which awaits the one before. */
  async function forward(layers: number): Promise<void> {
    const x = tensor(randomArray(1, size), shape, { device: 'webgpu:1' });
    const layer = new SynchronizedBatchNorm2d(3, { device: 'webgpu:1' });
    await endOfTick();
    for (let i = 0; i < layers; i++) await layer.forward(x);
  }

  beforeAll(() => devices.get('webgpu:1').warmUp({ channels: 3, length: 42, format: 'contiguous' }));

  it('of a tick share two submits, the first of which does not wait for the end', async () => {
    await endOfTick();
    const before = submits();
    await forward(5);
    expect(submits() - before).toBe(1);
    await endOfTick();
    expect(submits() - before).toBe(2);
    await endOfTick();
    expect(submits() - before).toBe(2);
  });

  it('do not wait for the end of the tick when they are many', async () => {
    await endOfTick();
    const before = submits();
    await forward(20);
    expect(submits() - before).toBeGreaterThan(2);
  });

  it('are submitted when the platform’s device is asked for', async () => {
    await forward(3);
    const before = submits();
    const { queue } = devices.get('webgpu:1').gpuDevice;
    expect(submits() - before).toBe(1);
    await queue.onSubmittedWorkDone();
    expect(submits() - before).toBe(1);
  });
});

describe('a device that was destroyed', () => {
  it('rejects what is pending and what comes later, and leaves its name for a fresh one', async () => {
    await init(['webgpu:3']);
    const x = tensor([1, 2], [2], { device: 'webgpu:3' });
    const device = devices.get('webgpu:3');
    const pending = x.data();
    device.gpuDevice.destroy();
    await expect(pending).rejects.toThrow(DeviceLostError);
    await expect(x.data()).rejects.toThrow("devices.recreate('webgpu:3')");
    x.dispose();
    await devices.recreate('webgpu:3').ready();
    expect([...(await tensor([3, 4], [2], { device: 'webgpu:3' }).data())]).toEqual([3, 4]);
  });
});

describe('where the platform has WebGPU', () => {
  it('webgpu:0 is listed before anyone has used it, and described when ready', async () => {
    await devices.close('webgpu:0');
    expect(devices.list()).toContain('webgpu:0');
    await init(['webgpu:0']);
    const { adapter, work } = devices.describe().find(({ name }) => name === 'webgpu:0') ?? {};
    expect(adapter).not.toMatch(/^$|not known/);
    expect(work).toMatchObject({ dispatches: 0, allocations: 0 });
  });
});

describe('devices of the page', () => {
  it('share adopted devices and buffers without a copy', async () => {
    const { gpuDevice } = devices.get('webgpu:0');
    const device = await devices.adopt(gpuDevice);
    const owner = tensor([1, 2, 3, 4], [4], { device: 'webgpu:0' });
    const shared = await tensorFromGPUBuffer(owner.gpuBuffer(), [4], { device: device.name });
    expect([...(await shared.data())]).toEqual([1, 2, 3, 4]);
    gpuDevice.queue.writeBuffer(owner.gpuBuffer(), 0, Float32Array.of(5, 6, 7, 8));
    expect([...(await shared.data())]).toEqual([5, 6, 7, 8]);
    expect(() => devices.recreate(device.name)).toThrow('was adopted');
    await devices.close(device.name);
    expect([...(await owner.data())]).toEqual([5, 6, 7, 8]);
  });

  it('refuse a buffer of another device', async () => {
    const stranger = tensor([1, 2, 3, 4], [4], { device: 'webgpu:1' });
    const attempt = tensorFromGPUBuffer(stranger.gpuBuffer(), [4], { device: 'webgpu:0' });
    await expect(attempt).rejects.toThrow(DeviceMismatchError);
  });

  it.each<[object, string]>([
    [{ label: 5 }, 'label: expected a string, got number'],
    [{ forceFallbackAdapter: 'yes' }, 'forceFallbackAdapter: expected a boolean, got string'],
    [{ powerPreference: 'fast' }, "powerPreference: expected 'low-power' or 'high-performance', got fast"],
    [{ requiredLimits: { maxBufferSize: '1' } }, 'requiredLimits.maxBufferSize: expected a number, got string'],
  ])('are not made with options that mean nothing: %o', async (options, message) => {
    const names = devices.describe().map(({ name }) => name);
    await expect(devices.create(options)).rejects.toThrow(message);
    expect(devices.describe().map(({ name }) => name)).toEqual(names);
  });

  it('tell which limit the adapter does not grant', async () => {
    const attempt = devices.create({ requiredLimits: { maxBufferSize: 2 ** 50 } });
    await expect(attempt).rejects.toThrow(DeviceLimitError);
  });
});
