/** A kernel that traps: the first error is the one that is told, the device is lost with what it held, everything else goes on. */

import { BatchNorm1d, DeviceLostError, devices, functional, init, tensor, type Tensor } from 'syncbn';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { collectUntil } from '../support/event_loop.ts';
import { freshDevice } from '../support/fresh_device.ts';
import { installTraps, type Trap, trapIn, withTrap } from '../support/traps.ts';

const plan: { trap: Trap | null } = vi.hoisted(() => ({ trap: null }));

vi.mock('../../ts/device/generated/worker_program_text.js', async (importOriginal) => {
  const { workerProgram } = await importOriginal<{ readonly workerProgram: string }>();
  return {
    get workerProgram() {
      return withTrap(plan.trap, workerProgram);
    },
  };
});

let uninstall: () => void;
beforeAll(() => {
  uninstall = installTraps(() => plan.trap);
});
beforeEach(() => {
  plan.trap = null;
});
afterEach(() => devices.close());
afterAll(() => uninstall());

/** A device that traps so. Others do not. */
async function trappingDevice(kind: 'cpu' | 'worker', trap: Trap): Promise<string> {
  plan.trap = trap;
  const name = await freshDevice(kind);
  plan.trap = null;
  return name;
}

async function errorOf(attempt: () => unknown): Promise<unknown> {
  try {
    await attempt();
    return null;
  } catch (error) {
    return error;
  }
}

const shape = [4, 3, 2];
const values = Float32Array.from({ length: 24 }, (_, i) => i * i);

/** What a program does in a step: every operation that commands a device, and what it cleans up whatever happens. */
async function step(device: string): Promise<Float32Array> {
  const made: Tensor[] = [];
  try {
    const layer = new BatchNorm1d(3, { device });
    const x = tensor(values, shape, { device, requiresGrad: true, memoryFormat: 'channels_last' });
    const dy = tensor(values, shape, { device });
    made.push(x, dy);
    const y = await layer.forward(x);
    made.push(y);
    await y.backward(dy);
    const evaluated = await layer.eval().forward(x);
    made.push(evaluated);
    const merged = await functional.moments(x);
    const statistics = await functional.finalize(merged, x);
    made.push(statistics);
    const read = await evaluated.data();
    await functional.updateRunning(merged, layer.runningMean ?? x, layer.runningVar ?? x);
    evaluated.dispose();
    await layer.runningMean?.data();
    return read;
  } finally {
    made.forEach((item) => item.dispose());
  }
}

const batch = 'a batch of shape (N, C, L) = (4, 3, 2), channels_last';

describe.each(['cpu', 'worker'] as const)('a kernel that traps on %s', (kind) => {
  it.each([
    { operation: 'allocate', call: 2, shapes: '3 values' },
    { operation: 'permute', shapes: 'a batch of shape (N, C, L) = (4, 3, 2), contiguous' },
    { operation: 'batchNorm', shapes: batch },
    { operation: 'batchNormBackward', shapes: batch },
    { operation: 'evaluationStatistics', shapes: '12 values' },
    { operation: 'normalize', shapes: batch },
    { operation: 'moments', shapes: batch },
    { operation: 'finalize', shapes: '12 values' },
    { operation: 'updateRunning', shapes: '3 values' },
    { operation: 'release', shapes: '24 values' },
  ])('in $operation is what is told, at once and ever after', async ({ operation, shapes, call = 1 }) => {
    const device = await trappingDevice(kind, trapIn(operation, call));
    const error = await errorOf(() => step(device));
    expect(error).toBeInstanceOf(DeviceLostError);
    expect(error).toMatchObject({ device, operation, shapes });
    expect((error as Error).message).toContain(
      `device ${device} was lost during ${operation} of ${shapes}: a kernel has`,
    );
    expect(await errorOf(() => step(device))).toBe(error);
    expect(await errorOf(() => tensor([1], [1], { device }))).toBe(error);
  });

  it('leaves other devices alone, also those that need the calling thread', async () => {
    const other = await freshDevice('worker');
    const device = await trappingDevice(kind, trapIn('batchNorm'));
    const expected = await step(other);
    await errorOf(() => step(device));
    expect(await step(other)).toEqual(expected);
  });

  it('does not keep the device from being made anew, on which the old tensors stay dead', async () => {
    const device = await trappingDevice(kind, trapIn('batchNorm'));
    const [x, layer] = [tensor(values, shape, { device }), new BatchNorm1d(3, { device })];
    const error = await errorOf(() => layer.forward(x).then((y) => y.data()));
    devices.recreate(device);
    expect(await step(device)).toEqual(await step('cpu:1'));
    const fresh = tensor(values, shape, { device });
    for (const attempt of [
      () => x.data(),
      () => x.to('cpu:1'),
      () => layer.forward(x),
      () => layer.forward(fresh),
      () => functional.normalize(fresh, x),
    ]) {
      expect(await errorOf(attempt)).toBe(error);
    }
    x.dispose();
    expect(await fresh.data()).toEqual(values);
  });

  it('in a finalizer is told by the next command', async () => {
    const device = await trappingDevice(kind, trapIn('release'));
    const kept = tensor(values, shape, { device });
    const forget = (): void => void tensor([1], [1], { device });
    forget();
    await collectUntil(() => devices.get(device).memoryUsage().buffers < 2);
    expect(await errorOf(() => kept.data())).toMatchObject({ name: 'DeviceLostError', device, operation: 'release' });
  });
});

it('a trap on a device of the calling thread gives its memory back at once', async () => {
  const device = await trappingDevice('cpu', trapIn('fill'));
  const x = tensor(values, shape, { device });
  const { storage } = x;
  expect(() => storage.device.run({ operation: 'fill', target: storage.buffer, value: 1 })).toThrow(DeviceLostError);
  const usage = { bytesInUse: 0, bytesPeak: 0, bytesPooled: 0, bytesReserved: 0, buffers: 0 };
  expect(storage.device.memoryUsage()).toEqual(usage);
  x.dispose();
  expect(storage.device.memoryUsage()).toEqual(usage);
});

describe('cpu:0', () => {
  it('is made anew by recreate(), ready at once', async () => {
    plan.trap = trapIn('fill');
    await init();
    const trapping = devices.recreate('cpu:0');
    plan.trap = null;
    const buffer = trapping.allocate(1);
    expect(() => trapping.run({ operation: 'fill', target: buffer, value: 1 })).toThrow(
      'device cpu:0 was lost during fill of 1 values',
    );
    await expect(init()).rejects.toThrow("devices.recreate('cpu:0')");
    const fresh = devices.recreate('cpu:0');
    expect([devices.get('cpu'), fresh.isReady]).toEqual([fresh, true]);
    expect([...(await tensor([1, 2], [2]).data())]).toEqual([1, 2]);
  });

  it('is closed by recreate() when it lives', async () => {
    const x = tensor([1], [1]);
    await init();
    await x.data();
    devices.recreate('cpu:0');
    await expect(x.data()).rejects.toThrow('device cpu:0 was lost during close: it was closed');
    x.dispose();
  });
});
