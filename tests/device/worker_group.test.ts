/** Workers that exchange partials among themselves: what becomes of the others when one fails, and that nothing stops them. */

import type { Worker } from 'node:worker_threads';
import {
  BatchNorm1d,
  CommandError,
  DataParallelWithCallBack,
  type Device,
  type DeviceGroup,
  DeviceLostError,
  devices,
  init,
  SynchronizedBatchNorm1d,
  tensor,
  type Tensor,
} from 'syncbn';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { randomArray } from '../support/random.ts';

const names = ['worker:1', 'worker:2'];
const [first = '', second = ''] = names;

/** Node tells of every worker it starts, in the order in which they are started. */
const started: Worker[] = [];
const note = (worker: Worker): void => void started.push(worker);

beforeEach(async () => {
  started.length = 0;
  process.on('worker', note);
  for (const name of names) await init([name]);
});

afterEach(async () => {
  process.off('worker', note);
  await devices.close();
});

type Net = DataParallelWithCallBack<SynchronizedBatchNorm1d>;

async function netOf(channels: number, deviceIds: readonly string[] = names): Promise<Net> {
  const net = new DataParallelWithCallBack(new SynchronizedBatchNorm1d(channels), { deviceIds });
  await net.to(deviceIds[0] ?? '');
  return net;
}

async function errorOf(attempt: Promise<unknown>): Promise<unknown> {
  return attempt.then(
    () => null,
    (error: unknown) => error,
  );
}

/** Gives a worker so much to do that it is still busy when it is ended. */
function keepBusy(device: Device): void {
  const large = device.allocate(2 ** 24);
  for (let i = 0; i < 200; i++) device.run({ operation: 'fill', target: large, value: i });
}

const valuesOf = async (buffer: Tensor | null): Promise<Float32Array> => (await buffer?.data()) ?? new Float32Array(0);

describe('a worker that ends while another waits for it', () => {
  /** Ends the second worker when both have been given their command, of which it has not come to its part. */
  class Ending extends SynchronizedBatchNorm1d {
    override async forward(x: Tensor): Promise<Tensor> {
      const y = await super.forward(x);
      if (x.device === second) void started[1]?.terminate();
      return y;
    }
  }

  it('fails the forward with its own error, and the state is what it was', async () => {
    const net = new DataParallelWithCallBack(new Ending(2), { deviceIds: names });
    await net.to(first);
    const before = [await valuesOf(net.module.runningMean), net.module.numBatchesTracked];
    keepBusy(devices.get(second));
    const error = await errorOf(net.forward(tensor(randomArray(1, 24), [4, 2, 3])));
    expect(error).toMatchObject({ name: 'ReplicaError', replica: 1, device: second });
    expect((error as Error).cause).toBeInstanceOf(DeviceLostError);
    expect([await valuesOf(net.module.runningMean), net.module.numBatchesTracked]).toEqual(before);
  });

  it('fails the backward pass, which leaves no gradients', async () => {
    const net = await netOf(2);
    const y = await net.forward(tensor(randomArray(1, 24), [4, 2, 3], { requiresGrad: true }));
    const dy = tensor(randomArray(2, 24), [4, 2, 3], { device: first });
    keepBusy(devices.get(second));
    const failing = errorOf(y.backward(dy));
    await started[1]?.terminate();
    expect(await failing).toBeInstanceOf(DeviceLostError);
    expect([net.module.weight?.grad, net.module.bias?.grad]).toEqual([null, null]);
  });

  it('is replaced, and the group goes on with the new one', async () => {
    const net = await netOf(2);
    keepBusy(devices.get(second));
    const failing = errorOf(net.forward(tensor(randomArray(1, 24), [4, 2, 3])));
    await started[1]?.terminate();
    await failing;
    devices.recreate(second);
    const data = randomArray(3, 24);
    const y = await net.forward(tensor(data, [4, 2, 3]));
    expectSameBits(await y.data(), await (await new BatchNorm1d(2).forward(tensor(data, [4, 2, 3]))).data());
  });
});

describe('a command of a group that fails on one device', () => {
  /** Normalizes a sample on each device; the last scales by the buffer given. */
  function normalize(
    group: DeviceGroup,
    weight: { readonly on: Device; readonly fill: (device: Device) => object },
  ): void {
    group.batchNorm(
      names.map((name, firstSample) => {
        const device = devices.get(name);
        const [x, y, statistics] = [device.allocate(64), device.allocate(64), device.allocate(8)];
        device.run({ operation: 'fill', target: x, value: firstSample });
        const layout = { samples: 1, channels: 2, length: 32, format: 'contiguous' } as const;
        return {
          ...{ x, y, statistics, layout, firstSample, numerics: 'stable', eps: 1e-5, epsMode: 'plus' },
          ...{ weight: device === weight.on ? (weight.fill(device) as typeof x) : null },
        } as const;
      }),
    );
  }

  const groupOf = (): DeviceGroup => {
    const group = devices.get(first).group?.(names.map((name) => devices.get(name))) ?? null;
    if (group === null) throw new Error('threads may share memory in Node');
    return group;
  };

  it('is told of by all, with the device that it failed on; the next group is a new one', async () => {
    const group = groupOf();
    const on = devices.get(second);
    normalize(group, {
      on,
      fill(device) {
        const spoiled = device.allocate(8);
        device.run({
          operation: 'finalize',
          merged: new Uint8Array(3),
          eps: 1e-5,
          epsMode: 'plus',
          statistics: spoiled,
        });
        return spoiled;
      },
    });
    const error = await errorOf(group.confirm());
    expect(error).toBeInstanceOf(CommandError);
    expect(error).toMatchObject({ device: second, operation: 'finalize' });
    expect(() => normalize(group, { on, fill: (device) => device.allocate(2) })).toThrow(CommandError);
    const next = groupOf();
    expect(next).not.toBe(group);
    normalize(next, { on, fill: (device) => device.allocate(2) });
    await next.confirm();
  });
});

describe('workers of a group', () => {
  it('do not wait for each other in a circle when groups overlap', async () => {
    await init(['worker:3']);
    const circle = [names, [second, 'worker:3'], ['worker:3', first]];
    const nets = await Promise.all(circle.map((deviceIds) => netOf(2, deviceIds)));
    const data = randomArray(1, 24);
    const forward = async (net: Net): Promise<Float32Array> => (await net.forward(tensor(data, [4, 2, 3]))).data();
    const results = await Promise.all([...nets, ...nets].map(forward));
    for (const result of results) expectSameBits(result, results[0] ?? []);
  });

  it('have the bits of one device also when partials are larger than their memory', async () => {
    // Rows of the last leaf travel raw: 31 of each worker at most.
    const [data, gradient] = [randomArray(1, 45 * 2500), randomArray(2, 45 * 2500)];
    const run = async (
      net: Net | BatchNorm1d,
      module: BatchNorm1d,
      device: string,
    ): Promise<readonly ArrayLike<number>[]> => {
      const x = tensor(data, [45, 2500], { device, requiresGrad: true });
      const y = await net.forward(x);
      await y.backward(tensor(gradient, [45, 2500], { device }));
      return Promise.all([y, x.grad, module.weight?.grad ?? null, module.runningVar].map(valuesOf));
    };
    const net = await netOf(2500);
    const plain = new BatchNorm1d(2500, { device: 'cpu' });
    const [spread, whole] = [await run(net, net.module, first), await run(plain, plain, 'cpu')];
    spread.forEach((values, i) => expectSameBits(values, whole[i] ?? []));
  });

  it('renew the running statistics twice when a layer is called twice at once', async () => {
    class Twice extends SynchronizedBatchNorm1d {
      override async forward(x: Tensor): Promise<Tensor> {
        const [y] = await Promise.all([super.forward(x), super.forward(x)]);
        return y;
      }
    }
    const net = new DataParallelWithCallBack(new Twice(2), { deviceIds: names });
    await net.to(first);
    const plain = new BatchNorm1d(2);
    const x = tensor(randomArray(1, 24), [4, 2, 3]);
    await net.forward(x);
    for (let i = 0; i < 2; i++) await plain.forward(x);
    expectSameBits(await valuesOf(net.module.runningVar), await valuesOf(plain.runningVar));
    expect(net.module.numBatchesTracked).toBe(2);
  });
});
