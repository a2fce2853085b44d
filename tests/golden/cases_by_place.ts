/**
 * Which golden cases run where. The calling thread in Node runs all of them. A worker, a browser and a GPU run a tenth: workers and
 * browsers compute with the same WebAssembly, and `crates/gpu/tests` compares every shader with the CPU's kernels over a search of
 * shapes. What such a place adds is the way that tensors and options take to the kernels, and one case for each thing that can
 * differ on this way shows whether it arrives.
 */

import type { DeviceKind } from 'syncbn';
import { readSuite, type GoldenCase, type GoldenStep } from './golden_data.ts';

/** Whether this program runs in a browser. */
const isBrowser = 'document' in globalThis;

/** Values from which a tensor crosses to a worker in pieces; see `ts/device/worker_pieces.ts`. */
const LARGE = 2 ** 14;

/** The suites of cases of one layer, by their files. */
const suites = ['pytorch_nn', 'lengths', 'cancellation', 'synchronized'];

/** The suites of which a kind of device runs any case here. */
export function suitesFor(kind: DeviceKind): readonly string[] {
  return suites.filter((suite) => casesFor(kind, suite).length > 0);
}

/** The cases of a suite that a kind of device runs here. */
export function casesFor(kind: DeviceKind, suite: string): readonly GoldenCase[] {
  const { cases } = readSuite(suite);
  if (runsWhole(kind)) {
    return cases;
  }
  const chosen = new Set(representatives(allCases()).map(({ name }) => name));
  return cases.filter(({ name }) => chosen.has(name));
}

/** The cases of all suites. */
export function allCases(): readonly GoldenCase[] {
  return suites.flatMap((suite) => readSuite(suite).cases);
}

/** Whether a kind of device runs everything that is golden here. */
export function runsWhole(kind: DeviceKind): boolean {
  return kind === 'cpu' && !isBrowser;
}

/** The first case of each trait, in order; a case that shows a new trait is taken with all its traits. */
export function representatives(cases: readonly GoldenCase[]): readonly GoldenCase[] {
  const seen = new Set<string>();
  return cases.filter((given) => {
    const fresh = traitsOf(given).filter((trait) => !seen.has(trait));
    fresh.forEach((trait) => seen.add(trait));
    return fresh.length > 0;
  });
}

/** What a case asks of the way to the kernels. */
export function traitsOf({ options, untracked_afterwards, non_finite, steps }: GoldenCase): readonly string[] {
  return [
    `affine ${options.affine}, bias ${options.bias}`,
    `momentum ${options.momentum === null ? 'null' : 'a number'}`,
    `tracked ${options.track_running_stats}, untracked afterwards ${untracked_afterwards}`,
    ...(non_finite ? ['not finite'] : []),
    ...(steps.length > 1 ? ['several steps'] : []),
    ...steps.flatMap(traitsOfStep),
  ];
}

function traitsOfStep({ shape, training }: GoldenStep): readonly string[] {
  const [samples = 0] = shape;
  const count = shape.reduce((product, size) => product * size, 1);
  const size = count === 0 ? 'empty' : count >= LARGE ? 'large' : samples === 1 ? 'one sample' : 'some samples';
  return [`${size}, training ${training}`, `rank ${shape.length}`];
}
