import {
  BatchNorm1d,
  DataParallelWithCallBack,
  defineFunction,
  init,
  SynchronizedBatchNorm1d,
  tensor,
  type Tensor,
} from 'syncbn';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds, deviceNames, numericsOf, oneDeviceOf } from '../support/device_kinds.ts';
import { randomArray } from '../support/random.ts';
import { Around, placed } from './modules.ts';

/** (N, C, L) as a vector in the order (N, L, C), so that outputs of different lengths can be gathered. */
const rows = defineFunction({
  name: 'rows',
  forward: async (context, x: Tensor) => {
    context.attributes['shape'] = x.shape;
    return tensor(asRows(await x.data(), x.shape), undefined, { device: x.device });
  },
  backward: async (context, dy) => {
    const shape = context.attributes['shape'] as [number, number, number];
    const [samples, channels, length] = shape;
    return tensor(asRows(await dy.data(), [samples, length, channels]), shape, { device: dy.device });
  },
});

describe.each(deviceKinds)('replicas on %s whose samples differ in length', (kind) => {
  const names = deviceNames(kind, 3);
  /** Fewer on emulated GPUs, for their time: what a step leaves wrong, the next would show. */
  const steps = kind === 'webgpu' ? 20 : 100;
  const one = { device: oneDeviceOf(kind) };
  const shapes = [10, 100, 1000].map((length): [number, number, number] => [2, 2, length]);

  beforeAll(() => init(names));

  it.each(numericsOf(kind))(
    `normalize all values as one batch of rows, %s numerics, ${steps} steps`,
    async (numerics) => {
      const options = { numerics, momentum: 0.99 };
      const [bn, plain] = [new SynchronizedBatchNorm1d(2, options), new BatchNorm1d(2, { ...options, ...one })];
      const xs: Tensor[] = [];
      const net = await placed(
        new DataParallelWithCallBack(new Around(bn, async (layer, _part, r) => rows(await layer.forward(at(xs, r)))), {
          deviceIds: names,
        }),
      );
      for (let step = 0; step < steps; step++) {
        const data = shapes.map(([n, c, length], r) =>
          randomArray(3 * step + r, n * c * length, { offset: r, scale: 1 + r }),
        );
        xs.splice(
          0,
          3,
          ...shapes.map((shape, r) => tensor(at(data, r), shape, { device: at(names, r), requiresGrad: true })),
        );
        const all = Float32Array.from(shapes.flatMap((shape, r) => [...asRows(at(data, r), shape)]));
        const whole = tensor(all, [all.length / 2, 2], { ...one, requiresGrad: true });
        const dy = randomArray(1000 + step, all.length);

        const [y, z] = [await net.forward(tensor([0, 0, 0], [3])), await plain.forward(whole)];
        await y.backward(tensor(dy, [dy.length], { device: at(names, 0) }));
        await z.backward(tensor(dy, whole.shape, one));

        expectSameBits(await y.data(), await z.data(), 'y');
        const dx = await Promise.all(xs.map(async (x) => [...asRows((await x.grad?.data()) ?? [], x.shape)]));
        expectSameBits(dx.flat(), (await whole.grad?.data()) ?? [], 'dx');
      }
      expectSameBits((await bn.runningMean?.data()) ?? [], (await plain.runningMean?.data()) ?? [], 'runningMean');
      expectSameBits((await bn.runningVar?.data()) ?? [], (await plain.runningVar?.data()) ?? [], 'runningVar');
      expectSameBits((await bn.weight?.grad?.data()) ?? [], (await plain.weight?.grad?.data()) ?? [], 'dweight');
      expect(bn.numBatchesTracked).toBe(steps);
    },
  );

  it('may have none at all', async () => {
    const bn = new SynchronizedBatchNorm1d(2);
    const lengths = [3, 0, 4];
    const net = await placed(
      new DataParallelWithCallBack(
        new Around(bn, async (layer, { device }, r) => {
          const length = at(lengths, r);
          return rows(await layer.forward(tensor(randomArray(r, 4 * length), [2, 2, length], { device })));
        }),
        { deviceIds: names },
      ),
    );
    const y = await net.forward(tensor([0, 0, 0], [3]));
    const all = lengths.flatMap((length, r) => [...asRows(randomArray(r, 4 * length), [2, 2, length])]);
    const whole = await new BatchNorm1d(2, one).forward(tensor(all, [14, 2], one));
    expectSameBits(await y.data(), await whole.data());
  });
});

/** Swaps the last two of three dimensions. */
function asRows(values: ArrayLike<number>, shape: readonly number[]): Float32Array {
  const [samples = 0, channels = 0, length = 0] = shape;
  const result = new Float32Array(samples * channels * length);
  for (let i = 0; i < result.length; i++) {
    const [n, c, l] = [Math.floor(i / (length * channels)), i % channels, Math.floor(i / channels) % length];
    result[i] = values[(n * channels + c) * length + l] ?? Number.NaN;
  }
  return result;
}

function at<T>(items: readonly T[], index: number): T {
  const item = items[index];
  if (item === undefined) throw new RangeError(`expected an item at ${index} of ${items.length}`);
  return item;
}
