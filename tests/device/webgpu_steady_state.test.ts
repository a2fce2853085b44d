/** Training for long costs a GPU nothing new: no memory, no buffer of the platform, no pipeline. */

import { DataParallelWithCallBack, devices, init, scope, Sequential, SynchronizedBatchNorm2d, tensor } from 'syncbn';
import { afterAll, describe, expect, it } from 'vitest';
import { randomArray } from '../support/random.ts';

afterAll(() => devices.close());

const shape = [5, 3, 4, 4];
const size = 5 * 3 * 4 * 4;

/** What each device has taken. */
function takenBy(names: readonly string[]) {
  const described = devices.describe().filter(({ name }) => names.includes(name));
  return described.map(({ name, memory: { bytesInUse, bytesPooled, buffers }, work }) => {
    const { allocations, pipelines } = work ?? {};
    return { name, bytesInUse, bytesPooled, buffers, allocations, pipelines };
  });
}

describe('the steady state of training', () => {
  it.each([
    { count: 1, steps: 500 },
    // Dawn's devices in Node take 66 ms for a step that three of them share: fewer are made, for the time.
    { count: 3, steps: 100 },
  ])('takes nothing new in $steps steps on $count devices', async ({ count, steps }) => {
    // Devices of their own: what the collector takes back of another test would count.
    const names = Array.from({ length: count }, (_, i) => `webgpu:${10 * count + i}`);
    const [device = ''] = names;
    await init(names);
    const model = await new Sequential(new SynchronizedBatchNorm2d(3), new SynchronizedBatchNorm2d(3)).to(device);
    const net = new DataParallelWithCallBack(model, { deviceIds: names });
    const step = (seed: number): Promise<void> =>
      scope(async () => {
        const x = tensor(randomArray(seed, size), shape, { device, requiresGrad: true });
        net.zeroGrad();
        const y = await net.forward(x);
        await y.backward(tensor(randomArray(seed + 1, size), shape, { device }));
        for (const parameter of model.parameters()) {
          const [values, gradient] = [await parameter.data(), await parameter.grad?.data()];
          await parameter.copy_(values.map((value, i) => value - 0.01 * (gradient?.[i] ?? Number.NaN)));
        }
      });
    for (let i = 0; i < 5; i++) await step(i);
    const before = takenBy(names);
    for (let i = 0; i < steps; i++) await step(i);
    expect(takenBy(names)).toEqual(before);
    expect(before.map(({ name }) => name)).toEqual(names);
    expect(before.every(({ buffers, pipelines = 0 }) => buffers > 0 && pipelines > 0)).toBe(true);
    const [weight] = [...model.parameters()];
    expect((await weight?.data())?.every((value) => Number.isFinite(value) && value !== 1)).toBe(true);
  });
});
