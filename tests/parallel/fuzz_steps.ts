/** What may happen to a model on several devices, in any order, and sequences of it. */

import fc from 'fast-check';

/** When something happens in a replica: before the first layer, between the two, or after the second. */
export const moments = ['before', 'between', 'after'] as const;
export type Moment = (typeof moments)[number];

/** How a replica fails: it throws, its device has no room, or its worker is ended from outside. */
export type Failing = 'throw' | 'starve' | 'terminate';

/**
 * One step. Numbers that name a device, or a graph that waits for its backward pass, are taken modulo how many there are,
 * so that a sequence stays meaningful when it is shortened.
 */
export type Step =
  | { readonly kind: 'forward' | 'eval'; readonly samples: number; readonly seed: number }
  | { readonly kind: 'backward' | 'dispose'; readonly graph: number; readonly seed: number }
  | { readonly kind: 'update' | 'load' | 'zeroGrad'; readonly seed: number }
  | {
      readonly kind: 'fail';
      readonly how: Failing;
      readonly at: Moment;
      readonly samples: number;
      readonly device: number;
    }
  | { readonly kind: 'terminate'; readonly during: 'nothing' | 'forward' | 'backward'; readonly device: number }
  | { readonly kind: 'recreate'; readonly device: number };

/** Devices of a run and what happens to them. */
export interface Sequence {
  readonly devices: number;
  readonly steps: readonly Step[];
}

/** Which steps a kind of device can take part in. */
export interface Abilities {
  /** Whether devices can be made anew. */
  readonly canRecreate: boolean;
  /** Whether they can be ended from outside. */
  readonly canTerminate: boolean;
}

/** Sequences for 1 to 8 devices. */
export function sequences({ canRecreate, canTerminate }: Abilities): fc.Arbitrary<Sequence> {
  const seed = fc.nat(999);
  const samples = fc.integer({ min: 1, max: 20 });
  const device = fc.nat(7);
  const constant = fc.constant;
  const ways = fc.constantFrom<Failing>('throw', 'starve', ...(canTerminate ? (['terminate'] as const) : []));
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ kind: constant('forward' as const), samples, seed }) },
    { weight: 4, arbitrary: fc.record({ kind: constant('backward' as const), graph: fc.nat(2), seed }) },
    { weight: 2, arbitrary: fc.record({ kind: constant('eval' as const), samples, seed }) },
    { weight: 2, arbitrary: fc.record({ kind: constant('dispose' as const), graph: fc.nat(2), seed }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('update' as const, 'load', 'zeroGrad'), seed }) },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: constant('fail' as const),
        how: ways,
        at: fc.constantFrom(...moments),
        samples,
        device,
      }),
    },
    { weight: canRecreate ? 1 : 0, arbitrary: fc.record({ kind: constant('recreate' as const), device }) },
    {
      weight: canTerminate ? 2 : 0,
      arbitrary: fc.record({
        kind: constant('terminate' as const),
        during: fc.constantFrom('nothing' as const, 'forward', 'backward'),
        device,
      }),
    },
  );
  return fc.record({
    devices: fc.integer({ min: 1, max: 8 }),
    steps: fc.array(step, { minLength: 1, maxLength: 30, size: 'max' }),
  });
}
