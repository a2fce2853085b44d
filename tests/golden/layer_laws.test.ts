/** Equalities that PyTorch's `test_nn.py` asks of the layers among themselves. */

import { BatchNorm1d, BatchNorm2d, BatchNorm3d, tensor, type BatchNorm, type MemoryFormat } from 'syncbn';
import { describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds, deviceNames } from '../support/device_kinds.ts';
import { randomArray } from '../support/random.ts';

const shapes = [
  [4, 10],
  [4, 5, 3],
  [2, 3, 6, 6],
  [4, 8, 10, 10],
  [2, 3, 4, 4, 4],
].map((shape) => [`[${shape.join(', ')}]`, shape] as const);
const formats: MemoryFormat[] = ['contiguous', 'channels_last'];

describe.each(deviceKinds)('on %s', (kind) => {
  const [device = ''] = deviceNames(kind, 1);

  describe.each(shapes)('%s', (_name, shape) => {
    it('evaluates the same batch twice to the same bits', async () => {
      const layer = layerFor(shape, {});
      await run(layer, shape, 'contiguous', 1);
      layer.eval();
      const [first, second] = [await run(layer, shape, 'contiguous', 2), await run(layer, shape, 'contiguous', 2)];
      expectSameBits(first.y, second.y, 'y');
      expectSameBits(first.dx, second.dx, 'dx');
    });

    it('gives the same bits with weight 1 and bias 0 as without', async () => {
      const [affine, plain] = [layerFor(shape, { affine: true }), layerFor(shape, { affine: false })];
      const [expected, actual] = [await run(affine, shape, 'contiguous', 3), await run(plain, shape, 'contiguous', 3)];
      expectSameBits(actual.y, expected.y, 'y');
      expectSameBits(actual.dx, expected.dx, 'dx');
    });

    it('gives the running statistics of one batch to a cumulative average', async () => {
      const layers = [layerFor(shape, { momentum: null }), layerFor(shape, { momentum: 1 })];
      const [averaged, replaced] = await Promise.all(
        layers.map(async (layer) => {
          await run(layer, shape, 'contiguous', 4);
          return (await layer.runningVar?.data()) ?? new Float32Array();
        }),
      );
      expect(averaged).toHaveLength(shape[1] ?? 0);
      expectSameBits(averaged ?? [], replaced ?? [], 'running_var');
    });
  });

  describe.each(shapes.filter(([, shape]) => shape.length > 2))('%s', (_name, shape) => {
    it.each(formats)('keeps the layout %s in output and gradient', async (memoryFormat) => {
      const result = await run(layerFor(shape, {}), shape, memoryFormat, 5);
      expect(result.formats).toEqual([memoryFormat, memoryFormat]);
    });
  });

  function layerFor(shape: readonly number[], options: { affine?: boolean; momentum?: number | null }): BatchNorm {
    const Layer = shape.length <= 3 ? BatchNorm1d : shape.length === 4 ? BatchNorm2d : BatchNorm3d;
    return new Layer(shape[1] ?? 0, { ...options, device });
  }

  async function run(layer: BatchNorm, shape: readonly number[], memoryFormat: MemoryFormat, seed: number) {
    const count = shape.reduce((product, size) => product * size, 1);
    const x = tensor(randomArray(seed, count, { offset: 1 }), shape, { device, memoryFormat, requiresGrad: true });
    const y = await layer.forward(x);
    await y.backward(tensor(randomArray(seed + 100, count), shape, { device, memoryFormat }));
    const gradient = x.grad;
    if (gradient === null) throw new Error('backward() left x.grad null');
    return { y: await y.data(), dx: await gradient.data(), formats: [y.memoryFormat, gradient.memoryFormat] };
  }
});
