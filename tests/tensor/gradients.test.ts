/** Who owns the gradient of a leaf, and what may not become one. The rules are above the devices, so one device is enough. */

import {
  BatchNorm1d,
  defineFunction,
  devices,
  DisposedError,
  GraphFreedError,
  init,
  OutOfMemoryError,
  scope,
  tensor,
  type Tensor,
} from 'syncbn';
import { beforeEach, describe, expect, it } from 'vitest';
import { freshDevice } from '../support/fresh_device.ts';
import { add, multiply, scale } from '../support/operations.ts';

let device = '';

beforeEach(async () => {
  device = await freshDevice('cpu');
});

const plain = (...values: number[]): Tensor => tensor(values, [values.length], { device });
const leaf = (...values: number[]): Tensor => tensor(values, [values.length], { device, requiresGrad: true });
const buffers = (): number => devices.get(device).memoryUsage().buffers;

async function gradsOf(...leaves: Tensor[]): Promise<(number[] | null)[]> {
  return Promise.all(leaves.map(async ({ grad }) => grad && [...(await grad.data())]));
}

/** A sum of leaves whose gradients are 1, 2, 3, … */
async function sumOf(leaves: readonly Tensor[]): Promise<Tensor> {
  let sum = await scale(leaves[0] ?? plain(0), 1);
  for (const [i, next] of leaves.slice(1).entries()) sum = await add(sum, await scale(next, i + 2));
  return sum;
}

describe('backward() over several leaves, of which the grad of one was disposed', () => {
  it.each([0, 1, 2])('changes none, and runs when that grad is set to null: leaf %d', async (disposed) => {
    const leaves = [leaf(1), leaf(1), leaf(1)];
    leaves.forEach((x, i) => (x.grad = plain(10 * i)));
    leaves[disposed]?.grad?.dispose();
    const y = await sumOf(leaves);
    await expect(y.backward(plain(1))).rejects.toThrow(DisposedError);
    await expect(y.backward(plain(1))).rejects.toThrow('set grad = null after dispose()');
    const others = leaves.filter((_, i) => i !== disposed);
    expect(await gradsOf(...others)).toEqual([0, 1, 2].filter((i) => i !== disposed).map((i) => [10 * i]));
    const target = leaves[disposed];
    if (target !== undefined) target.grad = null;
    await y.backward(plain(1));
    expect(await gradsOf(...leaves)).toEqual([0, 1, 2].map((i) => [i + 1 + (i === disposed ? 0 : 10 * i)]));
  });

  it.each([0, 1])('changes none when that happens while it runs: leaf %d', async (disposed) => {
    const leaves = [leaf(1), leaf(1)];
    leaves.forEach((x) => (x.grad = plain(5)));
    const pass = (await sumOf(leaves)).backward(plain(1));
    leaves[disposed]?.grad?.dispose();
    await expect(pass).rejects.toThrow(DisposedError);
    expect(await gradsOf(...leaves.filter((_, i) => i !== disposed))).toEqual([[5]]);
  });

  it('changes none when there is no room for one of them', async () => {
    const leaves = [leaf(1, 2), leaf(3, 4)];
    const dy = plain(1, 1);
    const y = await add(leaves[0] ?? dy, leaves[1] ?? dy);
    // The two share one gradient, so one needs a copy.
    devices.get(device).memoryLimit = devices.get(device).memoryUsage().bytesInUse;
    await expect(y.backward(dy)).rejects.toThrow(OutOfMemoryError);
    devices.get(device).memoryLimit = Infinity;
    expect(await gradsOf(...leaves)).toEqual([null, null]);
  });
});

describe('a gradient', () => {
  it('that is assigned inside a scope lives as long as its tensor', async () => {
    const x = leaf(1);
    const before = buffers();
    scope(() => {
      x.grad = plain(7);
    });
    await x.backward(plain(1));
    expect(await gradsOf(x)).toEqual([[8]]);
    x.dispose();
    expect(buffers()).toBe(before);
  });

  it('that nobody has read is freed when null or another takes its place', async () => {
    const [x, dy] = [leaf(1, 2), plain(1, 1)];
    await x.backward(dy);
    const before = buffers();
    for (let step = 0; step < 5; step += 1) {
      x.grad = null;
      await x.backward(dy);
      expect(buffers()).toBe(before);
    }
    const next = plain(3, 4);
    x.grad = next;
    expect(buffers()).toBe(before);
    x.grad = null;
    expect([...(await next.data())]).toEqual([3, 4]);
  });

  it('that was read lives on when another takes its place', async () => {
    const x = leaf(1);
    await x.backward(plain(3));
    const { grad } = x;
    x.grad = null;
    await x.backward(plain(4));
    expect([...((await grad?.data()) ?? [])]).toEqual([3]);
    expect(await gradsOf(x)).toEqual([[4]]);
  });

  it('is freed by zeroGrad(), also when it was read', async () => {
    const bn = new BatchNorm1d(2, { device });
    const x = tensor([1, 2, 3, 5], [2, 2], { device });
    const before = buffers();
    for (let step = 0; step < 3; step += 1) {
      const y = await bn.forward(x);
      const dy = tensor([1, 0, 2, 1], [2, 2], { device });
      await y.backward(dy);
      if (step === 1) expect(bn.weight?.grad).not.toBeNull();
      bn.zeroGrad();
      [y, dy].forEach((item) => item.dispose());
      expect(buffers()).toBe(before);
    }
  });

  it('goes with its tensor, however long the chain of gradients', () => {
    const before = buffers();
    const first = plain(0);
    let last = first;
    for (let i = 0; i < 50_000; i += 1) {
      const next = last.detach();
      last.grad = next;
      last = next;
    }
    first.dispose();
    expect(last.isDisposed).toBe(true);
    expect(buffers()).toBe(before);
  });

  it.each([1, 2, 3])('is not the tensor itself, by %d steps', (steps) => {
    const chain = Array.from({ length: steps }, (_, i) => plain(i));
    chain.slice(1).forEach((next, i) => {
      const owner = chain[i];
      if (owner !== undefined) owner.grad = next;
    });
    const [first = plain(0), last = first] = [chain[0], chain.at(-1)];
    expect(() => (last.grad = first)).toThrow(RangeError);
    expect(() => (last.grad = first)).toThrow("can't assign a tensor as its own grad");
    expect(last.grad).toBeNull();
  });

  it('of two leaves at once gets both sums', async () => {
    const leaves = [leaf(1), leaf(1)];
    const shared = plain(100);
    leaves.forEach((x) => (x.grad = shared));
    await (await sumOf(leaves)).backward(plain(1));
    expect(await gradsOf(...leaves)).toEqual([[103], [103]]);
  });

  it('of a tensor whose device becomes ready meanwhile is summed', async () => {
    const name = 'cpu:63';
    const x = tensor([1], [1], { device: name, requiresGrad: true });
    const elsewhere = defineFunction({
      forward: async (_context, from: Tensor) => tensor(await from.data(), [1], { device }),
      backward: async (_context, dy) => tensor(await dy.data(), [1], { device: name }),
    });
    expect(devices.get(name).isReady).toBe(false);
    await (await elsewhere(x)).backward(plain(2));
    await (await elsewhere(x)).backward(plain(3));
    expect(await gradsOf(x)).toEqual([[5]]);
    await init([name]);
  });

  it('may be a tensor that is part of another graph, of which nothing stays', async () => {
    const weight = leaf(3);
    const recording = defineFunction({
      forward: (_context, x: Tensor) => x,
      backward: (_context, dy) => multiply(dy, weight),
    });
    const before = buffers();
    const [x, dy] = [leaf(1), plain(2)];
    const y = await recording(x);
    await y.backward(dy);
    expect(await gradsOf(x)).toEqual([[6]]);
    expect(x.grad?.requiresGrad).toBe(false);
    [x, dy, y].forEach((item) => item.dispose());
    expect(buffers()).toBe(before);
  });
});

describe('two backward() at once on one graph', () => {
  it('are one pass and one error, and the sums of one', async () => {
    const x = leaf(3);
    const y = await multiply(x, x);
    const [first, second] = await Promise.allSettled([y.backward(plain(1)), y.backward(plain(1))]);
    expect(first.status).toBe('fulfilled');
    expect(second).toMatchObject({ status: 'rejected', reason: expect.any(GraphFreedError) as unknown });
    expect(await gradsOf(x)).toEqual([[6]]);
  });

  it('are one error where they share a trunk', async () => {
    const [x, z] = [leaf(3), leaf(1)];
    const trunk = await scale(x, 2);
    const [a, b] = [await scale(trunk, 5), await add(trunk, z)];
    const pass = a.backward(plain(1));
    await expect(b.backward(plain(1))).rejects.toThrow('scale belongs to another backward() that is running');
    await pass;
    expect(await gradsOf(x, z)).toEqual([[10], null]);
  });

  it('are one error where a backward function starts the other', async () => {
    const failures: unknown[] = [];
    const again: { y: Tensor | null } = { y: null };
    const nested = defineFunction({
      forward: (_context, x: Tensor) => x,
      backward: async (_context, dy) => {
        await again.y?.backward(plain(1)).catch((error: unknown) => failures.push(error));
        return dy;
      },
    });
    const x = leaf(1);
    again.y = await nested(x);
    await again.y.backward(plain(4));
    expect(failures).toEqual([expect.any(GraphFreedError)]);
    expect(await gradsOf(x)).toEqual([[4]]);
  });

  it('leave the graph to a third when the first node has failed', async () => {
    const state = { fails: true };
    const flaky = defineFunction({
      forward: (_context, x: Tensor) => x,
      backward: (_context, dy) => (state.fails ? Promise.reject(new Error('not yet')) : dy),
    });
    const x = leaf(1);
    const y = await flaky(x);
    await expect(y.backward(plain(4))).rejects.toThrow('not yet');
    state.fails = false;
    await y.backward(plain(5));
    expect(await gradsOf(x)).toEqual([[5]]);
  });
});

describe('a donated dy', () => {
  it.each([
    ['a leaf', (x: Tensor) => Promise.resolve(x), [4]],
    ['a result', (x: Tensor) => scale(x, 3), [12]],
  ])('of %s is disposed by backward(), and is not the gradient', async (_, of, expected) => {
    const x = leaf(1);
    const dy = plain(4).donate();
    await (await of(x)).backward(dy);
    expect(dy.isDisposed).toBe(true);
    expect(x.grad).not.toBe(dy);
    dy.dispose();
    expect(await gradsOf(x)).toEqual([expected]);
  });

  it('may be the tensor that backward() is called on', async () => {
    const x = leaf(3);
    const y = await scale(x, 2);
    await y.backward(y.donate());
    expect(y.isDisposed).toBe(true);
    expect(await gradsOf(x)).toEqual([[12]]);
  });
});
