/** Before anything is timed: do all contenders compute batch normalization? A fast wrong result is no result. */

import { randomArray } from '../tests/support/random.ts';
import { referenceBackward, referenceForward } from '../tests/support/reference.ts';
import type { Contender } from './contenders.ts';
import type { EnginePool } from './engine_pool.ts';
import { type Failure, textOf } from './measure.ts';
import type { PlainBatch, PlainResults } from './protocol.ts';
import { elementCount, type LayerShape, sizesOf } from './workloads.ts';

/** Small, with a tail in every dimension. */
const SHAPES: readonly LayerShape[] = [
  { shape: [4, 6, 5, 7], format: 'contiguous' },
  { shape: [4, 6, 5, 7], format: 'channels_last' },
];

/**
 * Of the largest expected value. Wide enough for any honest f32 kernel on data of deviation 1, far below the error of a
 * forgotten term; who is how accurate is judged by the golden tests, not here.
 */
const TOLERANCE = 1e-4;

/** @returns the engines that do not start or compute something else; they are ended. */
export async function checkAgreement(contenders: readonly Contender[], engines: EnginePool): Promise<Failure[]> {
  const failures: Failure[] = [];
  for (const { name, engine, variant, passes, isUnchecked = false } of contenders) {
    if (isUnchecked || failures.some((failure) => failure.engine === engine)) continue;
    try {
      for (const layer of SHAPES) {
        const batch = batchOf(layer);
        const results = await (await engines.get(engine)).ask<'check'>({ command: 'check', variant, batch });
        const { y, ...gradients } = expectedOf(variant, batch);
        compare(`${name}, ${layer.format}`, results, passes.includes('step') ? { y, ...gradients } : { y });
      }
    } catch (error) {
      failures.push({ workload: 'check', engine, reason: textOf(error) });
      engines.discard(engine);
    }
  }
  return failures;
}

function batchOf(layer: LayerShape): PlainBatch {
  const count = elementCount(layer.shape);
  const { channels } = sizesOf(layer.shape);
  const values = (seed: number, length: number, offset = 0) => Array.from(randomArray(seed, length, { offset }));
  return {
    ...layer,
    x: values(1, count, 3),
    dy: values(2, count),
    weight: values(3, channels),
    bias: values(4, channels),
  };
}

/** Factors of the roofline's variant `affine`: y = a·x + b, dx = a·dy + b·x. */
export const AFFINE = { a: 1.5, b: -0.25 };

/** What a variant computes: of the roofline's a copy or the affine function, of all others batch normalization. */
function expectedOf(variant: string, batch: PlainBatch): PlainResults {
  const { x, dy, shape, weight, bias } = batch;
  const { a, b } = AFFINE;
  if (variant === 'copy') return { y: x, dx: dy };
  if (variant === 'affine') {
    return { y: x.map((value) => value * a + b), dx: dy.map((value, i) => value * a + (x[i] ?? Number.NaN) * b) };
  }
  const layer = { weight, bias, runningMean: null, runningVar: null, eps: 1e-5, momentum: 0.1, batchStatistics: true };
  const forward = referenceForward(x, shape, layer);
  const { dx, dweight, dbias } = referenceBackward(x, dy, shape, layer, forward);
  return { y: [...forward.y], dx: [...dx], dweight: [...dweight], dbias: [...dbias] };
}

/** @throws Error where a result is absent, of another length, or further away than the tolerance. */
export function compare(label: string, results: PlainResults, expected: PlainResults): void {
  for (const name of ['y', 'dx', 'dweight', 'dbias'] as const) {
    const wanted = expected[name];
    const got = results[name];
    if (wanted === undefined) continue;
    if (got?.length !== wanted.length) {
      throw new Error(`${label}: expected ${wanted.length} values of ${name}, got ${got?.length ?? 'none'}`);
    }
    const granted = TOLERANCE * Math.max(...wanted.map(Math.abs));
    const wrong = wanted.findIndex((value, i) => !(Math.abs((got[i] ?? Number.NaN) - value) <= granted));
    if (wrong >= 0)
      throw new Error(`${label}: ${name}[${wrong}] is ${got[wrong]}, expected ${wanted[wrong]} ± ${granted}`);
  }
}
