/** `FunctionContext.onFree`: whatever becomes of a graph, what belongs to other engines is freed once. */

import { defineFunction, noGrad, scope, tensor, type FunctionContext, type Tensor } from 'syncbn';
import { describe, expect, it } from 'vitest';
import { collectUntil, settled } from '../support/event_loop.ts';
import { alike } from '../support/operations.ts';

interface Behaviour {
  readonly forwardFails?: boolean;
  readonly backwardFails?: boolean;
  /** What the function given to `onFree` throws. */
  readonly error?: Error;
}

/** A copy of its input, whose calls note when they are freed. */
function noting(freed: string[], name: string, behaviour: Behaviour = {}): (x: Tensor) => Promise<Tensor> {
  return defineFunction({
    name,
    forward: async (context, x: Tensor) => {
      context.onFree(() => {
        freed.push(name);
        if (behaviour.error !== undefined) throw behaviour.error;
      });
      context.saveForBackward(x);
      const y = alike(x, await x.data());
      // An engine's function may refer to whatever stands beside it, so to the output.
      context.onFree(() => expect(y.shape).toEqual([1]));
      if (behaviour.forwardFails === true) throw new Error('forward has failed');
      return y;
    },
    backward: (_context, dy) => {
      if (behaviour.backwardFails === true) throw new Error('backward has failed');
      return alike(dy, Float32Array.of(3));
    },
  });
}

const leaf = (): Tensor => tensor([2], [1], { requiresGrad: true });

/** The ways in which the saved values of one call are freed, and the error that tells of a failure there. */
const ends: readonly (readonly [name: string, end: (behaviour: Behaviour, freed: string[]) => Promise<void>])[] = [
  [
    'by a backward pass',
    async (behaviour, freed) => {
      await (await noting(freed, 'f', behaviour)(leaf())).backward();
    },
  ],
  [
    'by the last dispose()',
    async (behaviour, freed) => {
      const y = await noting(freed, 'f', behaviour)(leaf());
      expect(freed).toEqual([]);
      y.dispose();
    },
  ],
  [
    'by the end of a scope',
    (behaviour, freed) =>
      scope(async () => {
        await noting(freed, 'f', behaviour)(leaf());
      }),
  ],
  [
    'by a dispose() after a backward pass that failed',
    async (behaviour, freed) => {
      const y = await noting(freed, 'f', { ...behaviour, backwardFails: true })(leaf());
      await expect(y.backward()).rejects.toThrow('backward has failed');
      expect(freed).toEqual([]);
      y.dispose();
    },
  ],
  [
    'by a forward that fails',
    async (behaviour, freed) => {
      const result = noting(freed, 'f', { ...behaviour, forwardFails: true })(leaf());
      await expect(result).rejects.toThrow('forward has failed');
    },
  ],
  [
    'by a forward that returns no tensor',
    async (_behaviour, freed) => {
      const forward = (context: FunctionContext, _x: Tensor): Tensor => {
        context.onFree(() => {
          freed.push('f');
        });
        return null as unknown as Tensor;
      };
      await expect(defineFunction({ forward, backward: () => null })(leaf())).rejects.toThrow('expected a Tensor');
    },
  ],
  [
    'under noGrad',
    async (behaviour, freed) => {
      await noGrad(() => noting(freed, 'f', behaviour)(leaf()));
    },
  ],
  [
    'where no input requires a gradient',
    async (behaviour, freed) => {
      await noting(freed, 'f', behaviour)(tensor([2]));
    },
  ],
];

/** Those that reject with what the function throws; all others have a failure of their own, or nobody who waits. */
const telling = new Set(['by a backward pass', 'under noGrad', 'where no input requires a gradient']);

describe('onFree()', () => {
  it.each(ends)('calls its function once when what was saved is freed %s', async (_name, end) => {
    const freed: string[] = [];
    await end({}, freed);
    expect(freed).toEqual(['f']);
  });

  it.each(ends)('has its function throw without hiding another error, %s', async (name, end) => {
    const freed: string[] = [];
    const error = new Error('onFree has failed');
    const outcome = await end({ error }, freed).catch((told: unknown) => told);
    expect(outcome).toBe(telling.has(name) ? error : undefined);
    expect(freed).toEqual(['f']);
  });

  it.each([undefined, new Error('onFree has failed')])(
    'calls its function when the garbage collector finds the graph; it throws %s',
    async (error) => {
      const freed: string[] = [];
      const forget = async (): Promise<void> => {
        const behaviour = error === undefined ? {} : { error };
        await noting(freed, 'second', behaviour)(await noting(freed, 'first', behaviour)(leaf()));
      };
      await forget();
      await collectUntil(() => freed.length === 2);
      await settled();
      expect(freed.sort()).toEqual(['first', 'second']);
    },
  );

  it('leaves all gradients as they were when its function throws in a backward pass', async () => {
    const x = leaf();
    const freed: string[] = [];
    const y = await noting(freed, 'f', { error: new Error('onFree has failed') })(x);
    await expect(y.backward()).rejects.toThrow('onFree has failed');
    expect(x.grad).toBeNull();
    await (await noting(freed, 'g')(x)).backward();
    expect(await x.grad?.data()).toEqual(Float32Array.of(3));
  });

  it('frees each node of a chain, the last first, in a backward pass and by dispose()', async () => {
    const freed: string[] = [];
    const chain = async (): Promise<Tensor> => noting(freed, 'b')(await noting(freed, 'a')(leaf()));
    await (await chain()).backward();
    expect(freed).toEqual(['b', 'a']);
    const inner = await noting(freed, 'a')(leaf());
    const outer = await noting(freed, 'b')(inner);
    inner.dispose();
    expect(freed).toEqual(['b', 'a']);
    outer.dispose();
    expect(freed).toEqual(['b', 'a', 'b', 'a']);
  });

  it('calls several functions in order, also after one that throws, and those of a late call at once', async () => {
    const calls: number[] = [];
    let late: FunctionContext | null = null;
    const f = defineFunction({
      forward: (context, x: Tensor) => {
        late = context;
        context.onFree(() => {
          calls.push(1);
          throw new Error('the first');
        });
        context.onFree(() => {
          calls.push(2);
          throw new Error('the second');
        });
        return x;
      },
      backward: (context, dy) => {
        context.onFree(() => void calls.push(3));
        return dy;
      },
    });
    const y = await f(leaf());
    await expect(y.backward()).rejects.toThrow('the first');
    expect(calls).toEqual([1, 2, 3]);
    (late as FunctionContext | null)?.onFree(() => void calls.push(4));
    expect(calls).toEqual([1, 2, 3, 4]);
  });

  it('ignores the rejection of a promise that its function returns', async () => {
    const f = defineFunction({
      forward: (context, x: Tensor) => {
        // An `async` function is taken for one that returns nothing.
        const fn: () => unknown = () => Promise.reject(new Error('nobody waits'));
        context.onFree(fn);
        return x;
      },
      backward: (_context, dy) => dy,
    });
    // An unhandled rejection would fail the run.
    await (await f(leaf())).backward();
    await settled();
  });

  it.each([null, {}, 1, Promise.resolve()])('takes no %s for a function', async (value) => {
    const f = defineFunction({
      forward: (context, x: Tensor) => {
        context.onFree(value as unknown as () => void);
        return x;
      },
      backward: (_context, dy) => dy,
    });
    await expect(f(leaf())).rejects.toThrow(TypeError);
  });
});
