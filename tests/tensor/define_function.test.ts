import {
  defineFunction,
  devices,
  GraphFreedError,
  noGrad,
  Parameter,
  tensor,
  type Tensor,
  type FunctionContext,
} from 'syncbn';
import { describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds, deviceNames } from '../support/device_kinds.ts';
import { freshDevice } from '../support/fresh_device.ts';
import { alike, scale } from '../support/operations.ts';

describe.each(deviceKinds)('defineFunction() on %s', (kind) => {
  const [device = '', other = ''] = deviceNames(kind, 2);

  function leaf(...values: number[]): Tensor {
    return tensor(values, [values.length], { device, requiresGrad: true });
  }

  function plain(...values: number[]): Tensor {
    return tensor(values, [values.length], { device });
  }

  /** (x, 2x): two outputs of one node. */
  const both = defineFunction({
    name: 'both',
    forward: async (_context, x: Tensor): Promise<readonly [Tensor, Tensor]> => {
      const values = await x.data();
      return [
        alike(x, values),
        alike(
          x,
          values.map((value) => 2 * value),
        ),
      ];
    },
    backward: async (_context, first, second) => {
      const [a, b] = await Promise.all([first.data(), second.data()]);
      return alike(
        first,
        a.map((value, i) => value + 2 * (b[i] ?? Number.NaN)),
      );
    },
  });

  it('takes an output that was not used as a gradient of zeros', async () => {
    const x = leaf(1, 2);
    const [, second] = await both(x);
    await second.backward(plain(10, 100));
    expectSameBits((await x.grad?.data()) ?? [], [20, 200]);
  });

  it('waits for all outputs and then runs once', async () => {
    const x = leaf(1);
    const [first, second] = await both(x);
    const y = await defineFunction({
      forward: async (_context, a: Tensor, b: Tensor) => tensor([(await a.item()) - (await b.item())], [1], { device }),
      backward: async (_context, dy) => [
        dy,
        alike(
          dy,
          (await dy.data()).map((v) => -v),
        ),
      ],
    })(first, second);
    await y.backward(plain(1));
    expectSameBits((await x.grad?.data()) ?? [], [1 - 2]);
  });

  it('gives every output of an array a place of its own, also when they are one tensor', async () => {
    const twice = defineFunction({
      forward: async (_context, x: Tensor): Promise<readonly Tensor[]> => {
        const copy = alike(x, await x.data());
        return [copy, copy];
      },
      backward: async (_context, first, second) =>
        tensor([(await first.item()) + 10 * (await second.item())], [1], { device }),
    });
    const x = leaf(1);
    const [first, second] = await twice(x);
    expect(first).not.toBe(second);
    await second?.backward(plain(1));
    expectSameBits((await x.grad?.data()) ?? [], [10]);
  });

  it('may return its input', async () => {
    const same = defineFunction({ forward: (_context, x: Tensor) => x, backward: (_context, dy) => dy });
    const x = leaf(3);
    const y = await same(x);
    expect(y).not.toBe(x);
    await y.backward(plain(5));
    expectSameBits(await y.data(), [3]);
    expectSameBits((await x.grad?.data()) ?? [], [5]);
  });

  it('may return a tensor that exists without it, and leaves that alone', async () => {
    const constant = plain(7);
    const constantOf = defineFunction({
      forward: (_context, _x: Tensor) => constant,
      backward: () => constant,
    });
    const x = leaf(3);
    for (const step of [1, 2]) {
      const y = await constantOf(x);
      await y.backward(plain(1));
      y.dispose();
      expectSameBits(await constant.data(), [7]);
      expectSameBits((await x.grad?.data()) ?? [], [7 * step]);
    }
    expect(constant.isLeaf).toBe(true);
  });

  it('may return what it saved, as output and as gradient', async () => {
    const identity = defineFunction({
      forward: async (context, x: Tensor) => {
        const y = alike(x, await x.data());
        context.saveForBackward(y);
        return y;
      },
      backward: (context) => context.savedTensors[0] ?? null,
    });
    const x = leaf(3);
    await (await identity(x)).backward(plain(1));
    expectSameBits((await x.grad?.data()) ?? [], [3]);
  });

  it('may use its gradient twice', async () => {
    const x = leaf(3);
    const y = await defineFunction({
      forward: async (_context, input: Tensor) => alike(input, await input.data()),
      backward: async (_context, dy) => {
        const once = await scale(dy, 2);
        const again = await scale(dy, 3);
        return tensor([(await once.item()) + (await again.item())], [1], { device });
      },
    })(x);
    await y.backward(plain(1));
    expectSameBits((await x.grad?.data()) ?? [], [5]);
  });

  it('records nothing inside, and the outside as one node', async () => {
    const hidden = leaf(2);
    let isInnerLeaf: boolean | null = null;
    const outer = defineFunction({
      forward: async (_context, x: Tensor) => {
        isInnerLeaf = x.isLeaf && !x.requiresGrad;
        return scale(x, 3);
      },
      backward: (_context, dy) => scale(dy, 3),
    });
    const x = await scale(leaf(1), 5);
    const y = await outer(x);
    expect(isInnerLeaf).toBe(true);
    expect(y.requiresGrad).toBe(true);
    // A parameter that is not among the inputs gets no gradient: what is computed from it is cut off.
    const cut = await defineFunction({ forward: () => scale(hidden, 2), backward: () => [] })();
    expect(cut.requiresGrad).toBe(false);
    expect(cut.isLeaf).toBe(true);
  });

  it('tells which inputs want a gradient', async () => {
    const seen: (readonly boolean[])[] = [];
    const observe = defineFunction({
      forward: async (context: FunctionContext, a: Tensor, _n: number, _b: Tensor) => {
        seen.push(context.needsInputGrad);
        return alike(a, await a.data());
      },
      backward: (_context, dy) => [dy, null, null],
    });
    await observe(leaf(1), 5, plain(1));
    await observe(plain(1), 5, leaf(1));
    await noGrad(() => observe(leaf(1), 5, leaf(1)));
    expect(seen).toEqual([
      [true, false, false],
      [false, false, true],
      [false, false, false],
    ]);
  });

  it('gives back what it saved when its forward fails, and what it made when nothing is recorded', async () => {
    const saving = defineFunction({
      forward: async (context, x: Tensor, fails: boolean) => {
        context.saveForBackward(x);
        if (fails) {
          throw new Error('forward failed');
        }
        return alike(x, await x.data());
      },
      backward: () => [null, null],
    });
    const fresh = await freshDevice(kind);
    const x = tensor([1, 2, 3], [3], { device: fresh, requiresGrad: true });
    const before = devices.get(fresh).memoryUsage();
    await expect(saving(x, true)).rejects.toThrow('forward failed');
    const y = await noGrad(() => saving(x, false));
    y.dispose();
    x.dispose();
    expect(devices.get(fresh).memoryUsage().buffers).toBe(before.buffers - 1);
  });

  it('disposes a donated input', async () => {
    const x = plain(2).donate();
    const y = await scale(x, 3);
    expect(x.isDisposed).toBe(true);
    expectSameBits(await y.data(), [6]);
  });

  it('leaves a donated input alone when it fails', async () => {
    const failing = defineFunction({
      forward: (_context, _x: Tensor): Promise<Tensor> => Promise.reject(new Error('no')),
      backward: () => null,
    });
    const x = plain(2).donate();
    await expect(failing(x)).rejects.toThrow('no');
    expectSameBits(await x.data(), [2]);
  });

  it('works on parameters', async () => {
    const weight = new Parameter(plain(2));
    await (await scale(weight, 3)).backward(plain(1));
    expectSameBits((await weight.grad?.data()) ?? [], [3]);
  });

  it.each([
    [
      'a gradient of another shape',
      () => plain(1, 2),
      RangeError,
      'invalid gradient for input 0: expected shape [1], got [2]',
    ],
    ['a gradient on another device', () => tensor([1], [1], { device: other }), RangeError, 'expected it on device'],
    ['too many gradients', () => [plain(1), plain(1)], RangeError, 'expected 1 gradients'],
    ['nothing for an input list of two', () => [], RangeError, 'expected 1 gradients'],
    ['a number', () => 1, TypeError, 'expected a Tensor or null for input 0, got a number'],
  ])('refuses %s from its backward, naming the function', async (_, gradients, type, text) => {
    const wrong = defineFunction({
      name: 'wrong',
      forward: async (_context, x: Tensor) => alike(x, await x.data()),
      backward: () => gradients() as Tensor,
    });
    const x = leaf(1);
    const attempt = (await wrong(x)).backward(plain(1));
    await expect(attempt).rejects.toThrow(type);
    await expect(attempt).rejects.toThrow(`backward of wrong`);
    await expect(attempt).rejects.toThrow(text);
    expect(x.grad).toBeNull();
  });

  it('refuses a forward that returns no tensor', async () => {
    const wrong = defineFunction({
      name: 'wrong',
      forward: (_context, _x: Tensor) => 3 as unknown as Tensor,
      backward: () => null,
    });
    await expect(wrong(leaf(1))).rejects.toThrow(
      'forward of wrong: expected a Tensor or an array of tensors, got a number',
    );
  });

  it('names itself when its graph is gone', async () => {
    const y = await scale(leaf(1), 2);
    await y.backward(plain(1));
    await expect(y.backward(plain(1))).rejects.toBeInstanceOf(GraphFreedError);
  });
});

describe('defineFunction()', () => {
  it.each([[{}], [{ forward: 1, backward: 2 }], [{ forward: (): null => null }]])(
    'refuses the definition %j',
    (definition) => {
      expect(() => (defineFunction as (definition: unknown) => unknown)(definition)).toThrow(TypeError);
    },
  );

  it('saves nothing but tensors', async () => {
    const wrong = defineFunction({
      forward: (context, x: Tensor) => {
        context.saveForBackward(3 as unknown as Tensor);
        return x;
      },
      backward: () => null,
    });
    await expect(wrong(tensor([1]))).rejects.toThrow('saveForBackward(): expected tensors, got a number');
  });
});
