/** Workers whose memory runs out: who is told, and that nothing else is lost. */

import {
  BatchNorm1d,
  DataParallelWithCallBack,
  devices,
  init,
  OutOfMemoryError,
  SynchronizedBatchNorm1d,
  tensor,
  type Tensor,
} from 'syncbn';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

/** What the platform gives a worker here, of which the calling thread does not know. */
const MOST_BYTES = 100_000;

vi.mock('../../ts/device/generated/worker_program_text.js', async (importOriginal) => {
  const { workerProgram } = await importOriginal<{ readonly workerProgram: string }>();
  const limited = workerProgram.replace('2**32-2**27', `${MOST_BYTES}`);
  if (limited === workerProgram) throw new Error('expected the limit of memory in the program of workers');
  return { workerProgram: limited };
});

const names = ['worker:1', 'worker:2'];
const [device = ''] = names;

beforeEach(() => init(names));
afterEach(() => devices.close());

const batch = (samples: number, where = device): Tensor =>
  tensor(
    Float32Array.from({ length: samples * 100 }, (_, i) => i % 17),
    [samples, 100],
    { device: where },
  );

async function errorOf(attempt: () => unknown): Promise<unknown> {
  try {
    await attempt();
    return null;
  } catch (error) {
    return error;
  }
}

describe('a worker', () => {
  it('that can never have so much memory is not asked for it', async () => {
    const x = batch(2);
    const before = devices.get(device).memoryUsage();
    for (const length of [2 ** 30, 2 ** 30 - 2 ** 24, 2 ** 40]) {
      expect(() => devices.get(device).allocate(length)).toThrow(OutOfMemoryError);
    }
    expect(devices.get(device).memoryUsage()).toEqual(before);
    expect((await x.data()).length).toBe(200);
  });

  it('that gets no more memory tells it to who reads, and keeps what it has', async () => {
    const kept = batch(2);
    const [large, other] = [batch(500), batch(500)];
    const error = await errorOf(() => large.data());
    expect(error).toBeInstanceOf(OutOfMemoryError);
    expect(error).toMatchObject({ device, bytesWanted: 200_000, bytesInUse: 832 });
    expect(await errorOf(() => other.to('cpu'))).toBeInstanceOf(OutOfMemoryError);
    expect(await kept.data()).toEqual(await batch(2, 'cpu').data());
    [large, other].forEach((item) => item.dispose());
    expect(await batch(2).data()).toEqual(await kept.data());
  });

  it('that has no room for an output keeps the state of the layer', async () => {
    const layer = new BatchNorm1d(100, { device });
    await (await layer.forward(batch(4))).data();
    const before = [await layer.runningMean?.data(), await layer.runningVar?.data()];
    const x = batch(120);
    const y = await layer.forward(x);
    expect(await errorOf(() => y.data())).toBeInstanceOf(OutOfMemoryError);
    expect([await layer.runningMean?.data(), await layer.runningVar?.data()]).toEqual(before);
    expect(await layer.weight?.data()).toEqual(new Float32Array(100).fill(1));
    [x, y].forEach((item) => item.dispose());
    expect((await (await layer.forward(batch(4))).data()).length).toBe(400);
  });

  it('of a group that has no room fails the forward, which changes nothing, and the next one works', async () => {
    const net = new DataParallelWithCallBack(new SynchronizedBatchNorm1d(100), { deviceIds: names });
    await net.to(device);
    await net.forward(batch(8, 'cpu'));
    const before = [await net.module.runningMean?.data(), net.module.numBatchesTracked];
    const error = await errorOf(() => net.forward(batch(300, 'cpu')));
    expect(error).toMatchObject({ name: 'ReplicaError', cause: expect.any(OutOfMemoryError) as Error });
    expect([await net.module.runningMean?.data(), net.module.numBatchesTracked]).toEqual(before);
    const y = await net.forward(batch(8, 'cpu'));
    expect((await y.data()).length).toBe(800);
    expect([devices.get(device).lost, devices.get(names[1] ?? '').lost]).toEqual([null, null]);
  });
});
