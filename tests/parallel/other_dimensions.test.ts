/**
 * Along another dimension than 0 the devices hold pieces of every sample. The values are those of one device, but they are added in
 * another order, so the last bits may differ.
 */

import {
  BatchNorm1d,
  BatchNorm2d,
  DataParallelWithCallBack,
  init,
  SynchronizedBatchNorm1d,
  SynchronizedBatchNorm2d,
  tensor,
} from 'syncbn';
import { beforeAll, describe, it } from 'vitest';
import { deviceNames, oneDeviceOf } from '../support/device_kinds.ts';
import { randomArray } from '../support/random.ts';
import { expectWithin } from '../support/tolerances.ts';
import { placed } from './modules.ts';

const comparison = 'several devices against one, cut along another dimension';

describe('along another dimension', () => {
  const kind = 'cpu';
  const names = deviceNames(kind, 3);
  const device = oneDeviceOf(kind);
  beforeAll(() => init([...names, device]));

  it.each([
    [[7, 3, 50], 2],
    [[7, 3, 50], -1],
    [[2, 3, 1001], 2],
    [[40, 2, 4], 2],
    [[5, 3, 6, 7], 2],
    [[5, 3, 6, 7], 3],
    [[1, 2, 64, 33], -2],
  ])('%j cut along dimension %d gives the values of one device', async (shape, dim) => {
    const count = shape.reduce((product, size) => product * size, 1);
    for (const [seed, distribution] of [{}, { offset: 1e4, scale: 1e-2 }, { offset: -3 }].entries()) {
      const [data, dy] = [randomArray(seed, count, distribution), randomArray(seed + 9, count)];
      const [plainClass, synchronizedClass] =
        shape.length === 3 ? [BatchNorm1d, SynchronizedBatchNorm1d] : [BatchNorm2d, SynchronizedBatchNorm2d];
      const channels = shape[1] ?? 0;
      const plain = new plainClass(channels, { device });
      const bn = new synchronizedClass(channels);
      const net = await placed(new DataParallelWithCallBack(bn, { deviceIds: names, dim }));
      const steps = [];
      for (const model of [plain, net]) {
        const x = tensor(data, shape, { device: model === plain ? device : (names[0] ?? ''), requiresGrad: true });
        const y = await model.forward(x);
        await y.backward(tensor(dy, shape, { device: y.device }));
        const layer = model === plain ? plain : bn;
        const tensors = [y, layer.runningMean, layer.runningVar, x.grad, layer.weight?.grad, layer.bias?.grad];
        steps.push(await Promise.all(tensors.map(async (item) => (await item?.data()) ?? new Float32Array())));
      }
      const largest = (values: Float32Array): number => Math.max(...values.map(Math.abs));
      const term = 0.1 * largest(data);
      const quantities = ['output', 'running', 'running', 'gradient', 'gradient', 'gradient'] as const;
      for (const [i, quantity] of quantities.entries()) {
        const [expected = [], actual = []] = steps.map((step) => step[i]);
        // Means of values, and sums of gradients, are what is left when these cancel.
        const known = {
          output: {},
          running: { terms: Float32Array.from(expected, () => term) },
          gradient: { scale: largest(dy) },
        };
        expectWithin(comparison, quantity, actual, expected, `${quantity} ${i}`, known[quantity]);
      }
    }
  });
});
