/** A layer of a replica that is called again when its replica is gone, as code that recomputes in the backward pass does. */

import {
  BatchNorm1d,
  DataParallelWithCallBack,
  defineFunction,
  DisposedError,
  SynchronizedBatchNorm1d,
  tensor,
  type Tensor,
} from 'syncbn';
import { describe, expect, it } from 'vitest';
import { Around } from './modules.ts';

describe.each([
  ['BatchNorm1d', BatchNorm1d],
  ['SynchronizedBatchNorm1d', SynchronizedBatchNorm1d],
] as const)('%s', (_, Layer) => {
  it('called in the backward pass of its replica says that the replica has ended', async () => {
    const deviceIds = ['cpu:0', 'cpu:1'];
    const module = new Around(new Layer(1), (layer, x) => {
      const again = defineFunction({
        forward: (context, input: Tensor) => {
          context.saveForBackward(input);
          return layer.forward(input);
        },
        backward: async (context, dy) => layer.forward(context.savedTensors[0] ?? dy),
      });
      return again(x);
    });
    const net = new DataParallelWithCallBack(module, { deviceIds });
    const x = tensor([1, 2, 4, 9], [4, 1], { requiresGrad: true });
    const y = await net.forward(x);
    const attempt = y.backward(tensor([1, 2, 3, 4], [4, 1]));
    await expect(attempt).rejects.toThrow(DisposedError);
    await expect(attempt).rejects.toThrow('belonged to a replica, which ended with the forward pass');
    await expect(attempt).rejects.toThrow('saveForBackward()');
    expect(x.grad).toBeNull();
  });
});
