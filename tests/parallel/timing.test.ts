/** When replicas come, and how long their devices take, does not reach the bits. */

import {
  DataParallelWithCallBack,
  devices,
  init,
  scope,
  SynchronizedBatchNorm1d,
  tensor,
  type Device,
  type DeviceKind,
  type Tensor,
} from 'syncbn';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds, deviceNames, numericsOf } from '../support/device_kinds.ts';
import { collectGarbage, settled } from '../support/event_loop.ts';
import { randomArray, randomBits } from '../support/random.ts';
import { Around, buffersOn, placed } from './modules.ts';

/** Steps; fewer where kernels are emulated. */
const repetitionsOn = (kind: DeviceKind): number => (kind === 'webgpu' ? 50 : 200);
/** Values that a device is kept busy with: filling them takes about as long as a message. */
const BUSY_LENGTH = 1 << 16;

const shape = [7, 3, 5];
const total = 7 * 3 * 5;

describe.each(deviceKinds)('the timing of devices of kind %s', (kind) => {
  const names = deviceNames(kind, 3);
  const [first = ''] = names;

  beforeAll(() => init(names));
  beforeEach(collectGarbage);
  afterAll(() => devices.close());

  /** Every number by itself, so that a delay of one replica says nothing of the next. */
  const draw = (step: number, use: number): number => randomBits(step, use) % 4;

  const repetitions = repetitionsOn(kind);

  it.each(numericsOf(kind))(`does not reach the bits of ${repetitions} steps in %s numerics`, async (numerics) => {
    const now = { step: 0 };
    const layer = new SynchronizedBatchNorm1d(3, { numerics });
    const net = await placed(
      new DataParallelWithCallBack(
        new Around(layer, async (inner, x, replica) => {
          keepBusy(devices.get(x.device), draw(now.step, replica));
          for (let turn = draw(now.step, 10 + replica); turn > 0; turn--) await settled();
          const y = await inner.forward(x);
          keepBusy(devices.get(x.device), draw(now.step, 20 + replica));
          return y;
        }),
        { deviceIds: names },
      ),
    );
    const step = (): Promise<Map<string, Float32Array>> =>
      scope(async () => {
        const x = tensor(randomArray(1, total), shape, { device: first, requiresGrad: true });
        layer.resetRunningStats();
        net.zeroGrad();
        const y = await net.forward(x);
        names.forEach((name, r) => keepBusy(devices.get(name), draw(now.step, 30 + r)));
        await y.backward(tensor(randomArray(2, total), shape, { device: first }));
        const { weight, bias, runningMean, runningVar } = layer;
        const items: Record<string, Tensor | null | undefined> = {
          y,
          runningMean,
          runningVar,
          dx: x.grad,
          dweight: weight?.grad,
          dbias: bias?.grad,
        };
        const results = new Map<string, Float32Array>();
        for (const [name, item] of Object.entries(items)) {
          results.set(name, (await item?.data()) ?? new Float32Array());
        }
        return results;
      });
    const expected = await step();
    expect([...expected.values()].every((values) => values.length > 0)).toBe(true);
    const before = buffersOn(names);
    for (now.step = 1; now.step <= repetitions; now.step++) {
      const results = await step();
      expected.forEach((values, name) =>
        expectSameBits(results.get(name) ?? [], values, `repetition ${now.step}: ${name}`),
      );
    }
    expect(buffersOn(names)).toEqual(before);
  });
});

/** Gives a device something to do that takes its time; answers to what is asked next come later. */
function keepBusy(device: Device, rounds: number): void {
  const buffer = device.allocate(BUSY_LENGTH);
  for (let round = 0; round < rounds; round++) device.run({ operation: 'fill', target: buffer, value: round });
  device.release(buffer);
}
