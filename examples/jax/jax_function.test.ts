import { defaultDevice, init, numpy as np } from '@jax-js/jax';
import { noGrad, tensor } from 'syncbn';
import { beforeAll, describe, expect, it } from 'vitest';
import { jaxFunction } from './jax_function.ts';

const product = jaxFunction((x: np.Array, w: np.Array) => np.dot(x, w));

describe('a function of jax-js', () => {
  beforeAll(async () => {
    await init('wasm');
    defaultDevice('wasm');
  });

  it.each(['cpu:0', 'cpu:1', 'worker:0'])('gives its values and the gradients of all inputs on %s', async (device) => {
    const x = tensor([1, 2, 3, 4, 5, 6], [2, 3], { device, requiresGrad: true });
    const w = tensor([1, 0, -1], [3, 1], { device, requiresGrad: true });
    const y = await product(x, w);
    expect([y.device, y.shape]).toEqual([device, [2, 1]]);
    expect([...(await y.data())]).toEqual([-2, -2]);
    await y.backward(tensor([1, 10], [2, 1], { device }));
    expect([...((await x.grad?.data()) ?? [])]).toEqual([1, 0, -1, 10, 0, -10]);
    expect([...((await w.grad?.data()) ?? [])]).toEqual([41, 52, 63]);
  });

  it('needs no backward: arrays of calls that record nothing, or whose graph is dropped, are given back', async () => {
    const x = tensor([1, 2], [1, 2], { requiresGrad: true });
    const w = tensor([3, 4], [2, 1]);
    const dropped = await product(x, w);
    dropped.dispose();
    const y = await noGrad(() => product(x, w));
    expect(await y.data()).toEqual(Float32Array.of(11));
    expect(y.requiresGrad).toBe(false);
  });
});
