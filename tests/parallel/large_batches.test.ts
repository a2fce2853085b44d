/** Batches too large to cross to a worker in one piece. */

import { DataParallel, devices, init, Module, tensor, type Tensor } from 'syncbn';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds, deviceNames } from '../support/device_kinds.ts';
import { randomArray } from '../support/random.ts';
import { buffersOn } from './modules.ts';

/** Gives back what it is given. */
class Identity extends Module {
  forward(x: Tensor): Promise<Tensor> {
    return Promise.resolve(x);
  }
}

describe.each(deviceKinds)('a large batch on %s', (kind) => {
  const names = deviceNames(kind, 2);

  beforeAll(() => init(['cpu:0', ...names]));
  afterAll(() => devices.close());

  it.each([
    { shape: [3, 400_001], dim: 0 },
    { shape: [5, 3, 60_001], dim: 0 },
    { shape: [5, 3, 60_001], dim: 1 },
    { shape: [3, 700_000], dim: 1 },
    { shape: [300_000, 3], dim: 1 },
  ])('of shape $shape, cut along dimension $dim, comes back as it was', async ({ shape, dim }) => {
    const values = randomArray(
      1,
      shape.reduce((product, size) => product * size, 1),
    );
    const net = new DataParallel(new Identity(), { deviceIds: names, outputDevice: 'cpu:0', dim });
    const before = buffersOn(names);
    const x = tensor(values, shape);
    const y = await net.forward(x);
    expectSameBits(await y.data(), values);
    [x, y].forEach((item) => item.dispose());
    expect(buffersOn(names)).toEqual(before);
  });
});
