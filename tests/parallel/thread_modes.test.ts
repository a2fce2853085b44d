import { DataParallel, init, isGradEnabled, noGrad, scope, SynchronizedBatchNorm1d, tensor, type Tensor } from 'syncbn';
import { beforeAll, describe, expect, it } from 'vitest';
import { deviceKinds, deviceNames } from '../support/device_kinds.ts';
import { scale } from '../support/operations.ts';
import { Around, Recorder } from './modules.ts';

/** A thread has one gradient mode and one innermost scope, which several replicas cannot share. */
describe.each(deviceKinds)('inside a replica on %s', (kind) => {
  const names = deviceNames(kind, 2);
  const batch = (): Tensor => tensor([1, 2, 3, 4], [4, 1], { requiresGrad: true });

  beforeAll(() => init(names));

  const run = async (deviceIds: string[], forward: (x: Tensor) => Promise<Tensor>): Promise<Tensor> => {
    const layer = new SynchronizedBatchNorm1d(1, { device: names[0] ?? '' });
    return new DataParallel(new Around(layer, (_layer, x) => forward(x)), { deviceIds }).forward(batch());
  };

  it.each([
    [
      'noGrad()',
      (x: Tensor) => noGrad(async () => scale(x, 2)),
      'would switch off the gradients of the other replicas',
    ],
    ['scope()', (x: Tensor) => scope(async () => scale(x, 2)), 'would dispose tensors of the other replicas'],
  ])('%s refuses an asynchronous function, and takes it where there is one replica', async (_, forward, message) => {
    await expect(run(names, forward)).rejects.toThrow(message);
    expect(isGradEnabled()).toBe(true);
    for (const x of [batch(), tensor([5], [1, 1])]) {
      const y = await new DataParallel(new Recorder(({ inputs }) => forward(inputs[0] as Tensor)), {
        deviceIds: x.shape[0] === 1 ? names : names.slice(0, 1),
      }).forward(x);
      expect((y as Tensor).shape).toEqual(x.shape);
    }
  });

  it('synchronous functions are taken by both', async () => {
    const y = await run(names, async (x) =>
      scale(
        scope(() => noGrad(() => x.detach())),
        2,
      ),
    );
    expect(y.requiresGrad).toBe(false);
    expect([...(await y.data())]).toEqual([2, 4, 6, 8]);
  });
});
