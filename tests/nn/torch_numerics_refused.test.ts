/** Where the results of PyTorch's CPU kernels cannot be had, asking for them is refused by every way there is, before anything changes. */

import {
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  DataParallelWithCallBack,
  functional,
  init,
  SynchronizedBatchNorm1d,
  SynchronizedBatchNorm2d,
  SynchronizedBatchNorm3d,
  tensor,
} from 'syncbn';
import { beforeAll, describe, expect, it } from 'vitest';
import { deviceKinds, deviceNames, numericsOf } from '../support/device_kinds.ts';
import { stateOf } from '../parallel/modules.ts';

const kinds = deviceKinds.filter((kind) => !numericsOf(kind).includes('torch'));
const numerics = 'torch';

describe.each(kinds)("numerics: 'torch' on %s", (kind) => {
  const names = deviceNames(kind, 2);
  const [device = ''] = names;
  const text = `exists on CPU devices only, got ${device}; use numerics: 'stable' there`;
  const batch = () => tensor([1, 2, 3, 4], [2, 1, 2], { device });

  beforeAll(() => init(names));

  it.each([
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    SynchronizedBatchNorm1d,
    SynchronizedBatchNorm2d,
    SynchronizedBatchNorm3d,
  ])('is refused by the constructor of $name', (Layer) => {
    expect(() => new Layer(1, { device, numerics })).toThrow(text);
    expect(() => new Layer(1, { device, numerics: 'stable' })).not.toThrow();
  });

  it('is refused by a layer that has come from the CPU', async () => {
    const bn = await new BatchNorm1d(1, { numerics }).to(device);
    const before = await stateOf(bn);
    await expect(bn.forward(batch())).rejects.toThrow(text);
    expect(await stateOf(bn)).toEqual(before);
    await bn.to('cpu');
    expect((await bn.forward(await batch().to('cpu'))).shape).toEqual([2, 1, 2]);
  });

  it('is refused by replicas', async () => {
    const bn = await new SynchronizedBatchNorm1d(1, { numerics }).to(device);
    const net = new DataParallelWithCallBack(bn, { deviceIds: names });
    const before = await stateOf(net);
    await expect(net.forward(batch())).rejects.toMatchObject({ replica: 0, device, cause: { name: 'RangeError' } });
    expect(await stateOf(net)).toEqual(before);
  });

  it.each([
    ['batchNorm', () => functional.batchNorm(batch(), null, null, { training: true, numerics })],
    ['total', () => functional.total(batch())],
    ['deviations', async () => functional.deviations(batch(), await functional.total(await batch().to('cpu')))],
    [
      'normalize',
      async () =>
        functional.normalize(batch(), await functional.finalize(await functional.moments(batch()), batch()), {
          numerics,
        }),
    ],
  ])('is refused by functional.%s()', async (_, attempt) => {
    await expect(attempt()).rejects.toThrow(text);
  });
});
