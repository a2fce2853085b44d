import { type GradientHook, type HookedGradient, init, registerGradientHook, tensor, type Tensor } from 'syncbn';
import { beforeAll, describe, expect, it } from 'vitest';
import { scale } from '../support/operations.ts';

beforeAll(() => init());

/** A hook that notes what it is told, and changes gradients as it is asked to. */
function noting(change: (leaf: Tensor) => HookedGradient | null = () => null) {
  const told: string[] = [];
  const leaves: Tensor[] = [];
  const hook: GradientHook = {
    begin: (reached) => {
      told.push(`begin ${reached.size}`);
      return {
        ready: (leaf, gradient, grad) => {
          leaves.push(leaf);
          told.push(`ready ${gradient === null ? 'none' : 'some'} ${grad === null ? 'none' : 'some'}`);
        },
        finish: () => {
          told.push('finish');
          const changes = leaves.map((leaf) => [leaf, change(leaf)] as const);
          return Promise.resolve(new Map(changes.flatMap(([leaf, to]) => (to === null ? [] : [[leaf, to] as const]))));
        },
        fail: (reason) => told.push(String(reason)),
      };
    },
  };
  return { told, hook };
}

function leaf(): Tensor {
  return tensor([1, 2], [2], { requiresGrad: true });
}

const double = (x: Tensor): Promise<Tensor> => scale(x, 2);
const ones = (): Tensor => tensor([1, 1], [2]);

async function gradOf({ grad }: Tensor): Promise<number[] | null> {
  return grad && [...(await grad.data())];
}

describe('a gradient hook', () => {
  it('hears_of_a_gradient_when_it_is_complete_and_of_the_end', async () => {
    const x = leaf();
    const { told, hook } = noting();
    registerGradientHook([x, leaf()], hook);
    await (await double(await double(x))).backward(ones());
    expect(told).toEqual(['begin 1', 'ready some none', 'finish']);
    expect(await gradOf(x)).toEqual([4, 4]);
    await (await double(x)).backward(ones());
    expect(told.slice(3)).toEqual(['begin 1', 'ready some some', 'finish']);
  });

  it('hears_of_a_pass_that_begins_at_the_leaf', async () => {
    const x = leaf();
    const { told, hook } = noting();
    registerGradientHook([x], hook);
    await x.backward(ones());
    expect(told).toEqual(['begin 1', 'ready some none', 'finish']);
  });

  it.each([
    [false, [12, 12]],
    [true, [10, 10]],
  ])('gives_other_gradients, that replace the grad: %j', async (replacesGrad, expected) => {
    const x = leaf();
    await (await double(x)).backward(ones());
    const end = registerGradientHook([x], noting(() => ({ gradient: tensor([10, 10]), replacesGrad })).hook);
    await (await double(x)).backward(ones());
    expect(await gradOf(x)).toEqual(expected);
    end();
    await (await double(x)).backward(ones());
    expect(await gradOf(x)).toEqual(expected.map((value) => value + 2));
  });

  it('that_fails_leaves_gradients_as_they_were', async () => {
    const x = leaf();
    const { told, hook } = noting(() => {
      throw new Error('no');
    });
    registerGradientHook([x], hook);
    await expect((await double(x)).backward(ones())).rejects.toThrow('no');
    expect(told.at(-1)).toBe('Error: no');
    expect(x.grad).toBeNull();
  });

  it('refuses_what_is_no_leaf_no_hook_and_a_second_hook', async () => {
    const x = leaf();
    const { hook } = noting();
    registerGradientHook([x], hook);
    expect(() => registerGradientHook([x], hook)).toThrow('expected leaves without a hook');
    const y = await double(x);
    expect(() => registerGradientHook([y], hook)).toThrow(TypeError);
    expect(() => registerGradientHook([leaf()], {} as GradientHook)).toThrow('expected a hook with begin()');
  });
});
