/** Copies of parameters and buffers on the devices of replicas: sent once, and again only when what they are copies of changes. */

import {
  BatchNorm1d,
  DataParallel,
  DataParallelWithCallBack,
  devices,
  init,
  Module,
  noGrad,
  SynchronizedBatchNorm1d,
  tensor,
  type Tensor,
} from 'syncbn';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds, deviceNames } from '../support/device_kinds.ts';
import { collectGarbage } from '../support/event_loop.ts';
import { randomArray } from '../support/random.ts';
import { buffersOn, placed } from './modules.ts';

/** Large beside the two samples of a batch, so that bytes tell what was sent. */
const CHANNELS = 4096;
const VECTOR_BYTES = 4 * CHANNELS;

type Layer = SynchronizedBatchNorm1d;

/** Calls its layer two times. */
class Twice extends Module {
  layer: Layer;

  constructor(layer: Layer) {
    super();
    this.layer = layer;
  }

  async forward(x: Tensor): Promise<Tensor> {
    return this.layer.forward(await this.layer.forward(x));
  }
}

describe.each(deviceKinds)('copies of parameters on %s', (kind) => {
  const names = deviceNames(kind, 2);
  const [first = '', second = ''] = names;
  let net: DataParallel<Module & { forward(x: Tensor): Promise<Tensor> }>;
  let layer: Layer;

  beforeAll(() => init(names));
  beforeEach(collectGarbage);
  beforeEach(async () => {
    layer = new SynchronizedBatchNorm1d(CHANNELS);
    net = await placed(new DataParallelWithCallBack(layer, { deviceIds: names }));
    net.eval();
  });

  const batch = (seed = 1): Tensor => tensor(randomArray(seed, 4 * CHANNELS), [2, CHANNELS, 2], { device: first });

  /** Runs the net, and tells how many vectors of parameters and buffers have been written on the second device. */
  async function vectorsSent(): Promise<number> {
    const rows = vi.spyOn(devices.get(second), 'copyRows');
    const x = batch();
    const y = await noGrad(() => net.forward(x));
    [x, y].forEach((item) => item.dispose());
    const written = rows.mock.calls.filter(([, , rowLength]) => rowLength === CHANNELS).length;
    rows.mockRestore();
    return written;
  }

  it('are sent once, as long as nothing changes', async () => {
    expect([await vectorsSent(), await vectorsSent(), await vectorsSent()]).toEqual([4, 0, 0]);
  });

  it('are sent again by themselves, when only some change', async () => {
    await vectorsSent();
    await layer.runningMean?.copy_(randomArray(2, CHANNELS));
    expect([await vectorsSent(), await vectorsSent()]).toEqual([1, 0]);
  });

  it('are not sent in training: each device computes the running statistics of the whole batch itself', async () => {
    net.train();
    expect([await vectorsSent(), await vectorsSent()]).toEqual([4, 0]);
    net.eval();
    expect([await vectorsSent(), await vectorsSent()]).toEqual([0, 0]);
  });

  it('are those of the first device, bit for bit, however often the layer was called in one forward', async () => {
    const twice = await placed(new DataParallelWithCallBack(new Twice(layer), { deviceIds: names }));
    for (const trained of [net, twice, net]) {
      trained.train();
      for (const seed of [6, 7]) await trained.forward(batch(seed));
      net.eval();
      const [y, alone] = [await net.forward(batch()), await layer.forward(batch())];
      expectSameBits(await y.data(), await alone.data());
    }
  });

  it('are sent after each step of layers that use the statistics of each device alone', async () => {
    net = await placed(new DataParallel(new BatchNorm1d(CHANNELS), { deviceIds: names }));
    expect([await vectorsSent(), await vectorsSent()]).toEqual([4, 2]);
  });

  it.each<[string, (layer: Layer) => unknown, number]>([
    ['copy_() of an array', async ({ weight }) => weight?.copy_(randomArray(2, CHANNELS)), 1],
    ['copy_() of a tensor', async ({ weight, bias }) => bias && weight?.copy_(bias), 1],
    ['loadStateDict()', async (own) => own.loadStateDict(new SynchronizedBatchNorm1d(CHANNELS).stateDict()), 4],
    [
      'resetRunningStats()',
      (own) => {
        own.resetRunningStats();
      },
      2,
    ],
    [
      'resetParameters()',
      (own) => {
        own.resetParameters();
      },
      4,
    ],
    ['to() and back', async (own) => (await own.to(second)).to(first), 4],
  ])('are sent again after %s', async (_, change, sent) => {
    await vectorsSent();
    await change(layer);
    expect([await vectorsSent(), await vectorsSent()]).toEqual([sent, 0]);
  });

  it('hold the values that the parameter has', async () => {
    await vectorsSent();
    for (const seed of [3, 4]) {
      await layer.weight?.copy_(randomArray(seed, CHANNELS));
      const [x, y] = [batch(), await net.forward(batch())];
      const plain = await layer.forward(x);
      expectSameBits(await y.data(), await plain.data());
    }
  });

  it('go when the tensor changes, although somebody keeps its old values', async () => {
    const state = layer.stateDict();
    const before = buffersOn(names);
    await vectorsSent();
    expect(buffersOn(names).map((count, r) => count - (before[r] ?? 0))).toEqual([0, 4]);
    await layer.weight?.copy_(randomArray(2, CHANNELS));
    expect(buffersOn([second])[0]).toBe((before[1] ?? 0) + 3);
    layer.resetParameters();
    expect(buffersOn([second])[0]).toBe(before[1]);
    Object.values(state).forEach((value) => (typeof value === 'number' ? undefined : value.dispose()));
  });

  it('go with the tensor', async () => {
    const before = buffersOn([second])[0] ?? Number.NaN;
    await vectorsSent();
    [...layer.parameters(), ...layer.buffers()].forEach((item) => item.dispose());
    expect(buffersOn([second])[0]).toBe(before);
  });

  it('are of the values at the time, when the parameter changes on their way', async () => {
    const forward = noGrad(() => net.forward(batch()));
    await layer.bias?.copy_(randomArray(5, CHANNELS));
    await forward;
    const [y, plain] = [await net.forward(batch()), await layer.forward(batch())];
    expectSameBits(await y.data(), await plain.data());
  });
});

/** What has travelled to a worker and back. */
function traffic(name: string): { readonly messages: number; readonly bytes: number } {
  return devices.get(name).details().traffic ?? { messages: Number.NaN, bytes: Number.NaN };
}

describe('a step on workers', () => {
  const names = deviceNames('worker', 2);
  const [first = '', second = ''] = names;

  beforeAll(() => init(names));
  afterAll(() => devices.close());

  it('sends no parameter that has not changed', async () => {
    const net = await placed(
      new DataParallelWithCallBack(new SynchronizedBatchNorm1d(CHANNELS).eval(), { deviceIds: names }),
    );
    const bytesOfForward = async (): Promise<number> => {
      const before = traffic(second).bytes;
      const x = tensor(new Float32Array(2 * CHANNELS), [2, CHANNELS], { device: first });
      const y = await noGrad(() => net.forward(x));
      [x, y].forEach((item) => item.dispose());
      return traffic(second).bytes - before;
    };
    // The second device gets its sample and gives its output.
    const sample = 2 * VECTOR_BYTES;
    const text = VECTOR_BYTES / 4;
    const [cold, warm] = [await bytesOfForward(), await bytesOfForward()];
    expect(cold).toBeGreaterThan(sample + 4 * VECTOR_BYTES);
    expect(cold).toBeLessThan(sample + 4 * VECTOR_BYTES + text);
    expect(warm).toBeGreaterThan(sample);
    expect(warm).toBeLessThan(sample + text);
  });
});
