/** The first use of a GPU: pipelines are compiled one by one, with a turn of the event loop after each, and change no result. */

import { BatchNorm2d, devices, init, tensor, tensorFromGPUBuffer, type Tensor } from 'syncbn';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { WebGpuDevice } from '../../ts/device/device.ts';
import { expectSameBits } from '../support/bits.ts';
import { endOfTick } from '../support/event_loop.ts';
import { randomArray } from '../support/random.ts';

const shape = [5, 3, 6, 7] as const;
const size = 5 * 3 * 6 * 7;
const layout = { channels: 3, length: 42, format: 'contiguous' } as const;

beforeAll(() => init(['webgpu:0']));
afterAll(() => devices.close());

/** How many pipelines are compiled in each turn of the event loop until a promise resolves. */
async function pipelinesPerTurn(device: WebGpuDevice, promise: Promise<unknown>): Promise<number[]> {
  const compiled = (): number => device.details().work?.pipelines ?? Number.NaN;
  const counts: number[] = [];
  const state = { isDone: false };
  const done = promise.finally(() => (state.isDone = true));
  for (let before = compiled(); !state.isDone; before = compiled()) {
    await endOfTick();
    counts.push(compiled() - before);
  }
  await done;
  return counts;
}

/** Both passes, all commands given before any is awaited. */
async function step({ name }: WebGpuDevice): Promise<Float32Array[]> {
  const layer = new BatchNorm2d(3, { device: name });
  const x = tensor(randomArray(1, size), shape, { device: name, requiresGrad: true });
  const y = await layer.forward(x);
  await y.backward(tensor(randomArray(2, size), shape, { device: name }));
  const results: (Tensor | null | undefined)[] = [y, x.grad, layer.weight?.grad, layer.bias?.grad, layer.runningVar];
  return Promise.all(results.map(async (result) => (await result?.data()) ?? new Float32Array()));
}

const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);

describe('the first step on a device', () => {
  it('compiles one pipeline per turn of the event loop, and gives the bits of a later one', async () => {
    const device = await devices.create();
    const first = step(device);
    const counts = await pipelinesPerTurn(device, first);
    expect(sum(counts)).toBeGreaterThanOrEqual(6);
    expect(Math.max(...counts)).toBeLessThanOrEqual(1);
    const later = await step(device);
    (await first).forEach((result, i) => expectSameBits(result, later[i] ?? []));
    await devices.close(device.name);
  });

  it('does so for memory of others', async () => {
    const device = await devices.create();
    const { gpuDevice, name } = device;
    // STORAGE, COPY_SRC and COPY_DST.
    const buffer = gpuDevice.createBuffer({ size: 4 * (size + 2), usage: 0x80 | 0x4 | 0x8 });
    gpuDevice.queue.writeBuffer(buffer, 0, randomArray(1, size));
    const x = await tensorFromGPUBuffer(buffer, shape, { device: name });
    const counts = await pipelinesPerTurn(device, new BatchNorm2d(3, { device: name }).forward(x));
    expect(sum(counts)).toBeGreaterThanOrEqual(3);
    expect(Math.max(...counts)).toBeLessThanOrEqual(1);
    await devices.close(name);
  });
});

describe('warmUp', () => {
  it('compiles one pipeline per turn, and resolves when the steps need no other', async () => {
    const device = await devices.create();
    const counts = await pipelinesPerTurn(device, device.warmUp(layout));
    expect(sum(counts)).toBeGreaterThan(6);
    expect(Math.max(...counts)).toBeLessThanOrEqual(1);
    const before = device.details().work?.pipelines;
    const x = tensor(randomArray(1, size), shape, { device: device.name });
    await (await new BatchNorm2d(3, { device: device.name }).forward(x)).data();
    expect(device.details().work?.pipelines).toBe(before);
    await devices.close(device.name);
  });

  it('is not waited for by a device that is closed', async () => {
    const device = await devices.create();
    const warm = device.warmUp(layout);
    await devices.close(device.name);
    await expect(warm).resolves.toBeUndefined();
  });
});
