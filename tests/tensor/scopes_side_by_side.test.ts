/** A tensor belongs to the innermost open scope, so two asynchronous scopes must not run side by side. */

import { devices, scope, tensor, type Tensor } from 'syncbn';
import { beforeEach, describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { freshDevice } from '../support/fresh_device.ts';
import { scale } from '../support/operations.ts';

let device = '';

beforeEach(async () => {
  device = await freshDevice('cpu');
});

const plain = (value: number): Tensor => tensor([value], [1], { device });
const buffers = (): number => devices.get(device).memoryUsage().buffers;

/** A promise, and the way to resolve it. */
function gate(): { readonly passed: Promise<void>; readonly open: () => void } {
  let open = (): void => undefined;
  const passed = new Promise<void>((resolve) => (open = resolve));
  return { passed, open: () => open() };
}

interface Case {
  readonly name: string;
  /** Runs scopes side by side, of which one is refused, and disposes what the others return. */
  readonly run: () => Promise<unknown>;
}

const cases: readonly Case[] = [
  {
    name: 'begun together',
    run: async () => {
      const results = await Promise.allSettled([
        scope(() => scale(plain(1), 2)),

        (async () => scope(() => scale(plain(2), 2)))(),
      ]);
      expect(results[0].status).toBe('fulfilled');
      results.forEach((result) => result.status === 'fulfilled' && result.value.dispose());
      return results[1].status === 'rejected' ? (results[1].reason as unknown) : null;
    },
  },
  {
    name: 'that end in the order in which they began',
    run: async () => {
      const { passed, open } = gate();
      const first = scope(async () => scale(plain(1), 2));
      await Promise.resolve();
      const second = scope(async () => {
        await passed;
        return scale(plain(2), 2);
      });
      const failure = await first.catch((error: unknown) => error);
      open();
      (await second).dispose();
      return failure;
    },
  },
  {
    name: 'of which the outer does not await the inner',
    run: async () => {
      const inner: Promise<Tensor>[] = [];
      const failure = await scope(async () => {
        await Promise.resolve();
        inner.push(scope(() => scale(plain(1), 2)));
        return plain(2);
      }).catch((error: unknown) => error);
      (await inner[0])?.dispose();
      return failure;
    },
  },
  {
    name: 'of which the outer is synchronous and does not await the inner',
    run: async () => {
      const inner: Promise<Tensor>[] = [];
      const attempt = (): unknown =>
        scope(() => {
          inner.push(scope(() => scale(plain(1), 2)));
          return 3;
        });
      expect(attempt).toThrow('got two side by side');
      (await inner[0])?.dispose();
      return new Error('got two side by side');
    },
  },
];

describe('two asynchronous scopes side by side', () => {
  it.each(cases)('are refused, and leave nothing behind: $name', async ({ run }) => {
    const before = buffers();
    expect(await run()).toMatchObject({ message: expect.stringContaining('got two side by side') as unknown });
    expect(buffers()).toBe(before);
    const outside = plain(1);
    const inside = await scope(async () => {
      const made = plain(3);
      await scale(made, 2);
      return { hidden: () => made };
    });
    expect(outside.isDisposed).toBe(false);
    expect(inside.hidden().isDisposed).toBe(true);
  });

  it('let the error of the function through', async () => {
    const inner: Promise<Tensor>[] = [];
    const failing = scope(async () => {
      await Promise.resolve();
      inner.push(scope(() => scale(plain(1), 2)));
      throw new Error('of the function');
    });
    await expect(failing).rejects.toThrow('of the function');
    await inner[0];
  });
});

describe('asynchronous scopes', () => {
  it('nest', async () => {
    const before = buffers();
    const power = (levels: number): Promise<Tensor> =>
      scope(async () => (levels === 0 ? plain(1) : scale(await power(levels - 1), 2)));
    expectSameBits(await (await power(5)).data(), [32]);
    expectSameBits(await (await scope(() => scope(() => scale(plain(1), 3)))).data(), [3]);
    expect(buffers()).toBe(before + 2);
  });

  it('follow each other without a pause', async () => {
    const before = buffers();
    for (let step = 0; step < 50; step += 1) {
      await scope(async () => {
        await scale(plain(1), 2);
      });
    }
    expect(buffers()).toBe(before);
  });

  it('may have synchronous ones begin beside them', async () => {
    const pending = scope(() => scale(plain(1), 3));
    scope(() => plain(5));
    expectSameBits(await (await pending).data(), [3]);
  });
});
