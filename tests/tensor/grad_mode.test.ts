import { isGradEnabled, noGrad, tensor, type Tensor } from 'syncbn';
import { describe, expect, it } from 'vitest';
import { scale } from '../support/operations.ts';

function leaf(): Tensor {
  return tensor([1], [1], { requiresGrad: true });
}

describe('noGrad()', () => {
  it('records nothing of what is computed inside, also after an await', async () => {
    const [first, second] = await noGrad(async () => {
      const before = await scale(leaf(), 2);
      return [before, await scale(leaf(), 2)] as const;
    });
    expect([first.requiresGrad, second.requiresGrad]).toEqual([false, false]);
    expect((await scale(leaf(), 2)).requiresGrad).toBe(true);
  });

  it('returns what the function returns', () => {
    expect(noGrad(() => 3)).toBe(3);
  });

  it('nests, and ends with the outermost', () => {
    const inner = noGrad(() => {
      noGrad(() => undefined);
      return isGradEnabled();
    });
    expect(inner).toBe(false);
    expect(isGradEnabled()).toBe(true);
  });

  it('ends when the function fails, at once or later', async () => {
    const fail = (): never => {
      throw new Error('inside');
    };
    expect(() => noGrad(fail)).toThrow('inside');
    expect(isGradEnabled()).toBe(true);
    // eslint-disable-next-line @typescript-eslint/require-await -- An asynchronous failure is the case.
    await expect(noGrad(async () => fail())).rejects.toThrow('inside');
    expect(isGradEnabled()).toBe(true);
  });

  it.each([
    ['a promise', Promise.resolve(1), 'got a promise; pass the function itself'],
    ['nothing', undefined, 'expected a function, got undefined'],
  ])('refuses %s', (_, value, text) => {
    expect(() => noGrad(value as unknown as () => void)).toThrow(text);
    expect(isGradEnabled()).toBe(true);
  });

  it('lets leaves made inside require gradients', () => {
    expect(noGrad(() => leaf()).requiresGrad).toBe(true);
  });

  it('holds for the operation that was called inside, whenever it ends', async () => {
    let pending: Promise<Tensor> | null = null;
    noGrad(() => {
      pending = scale(leaf(), 2);
    });
    expect((await (pending as unknown as Promise<Tensor>)).requiresGrad).toBe(false);
  });
});
