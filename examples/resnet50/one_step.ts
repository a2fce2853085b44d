/** One training step of a model on one device and on several, and how far the results differ. */

import type * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { convertModel, DataParallel } from 'syncbn';
import { fromLayersModel, type LayersModule, trainOnBatch } from 'syncbn/tfjs';

/** What a step on several devices gave, beside the same on one. */
export interface Comparison {
  readonly losses: readonly [one: number, several: number];
  /** Largest change of any weight by the step on one device. */
  readonly largestChange: number;
  /** Largest difference of any weight afterwards, in parts of `largestChange`; likewise of any running statistic, of the largest change of those. */
  readonly weights: number;
  readonly statistics: number;
  readonly seconds: readonly [one: number, several: number];
}

type Values = ReadonlyMap<string, Float32Array>;

/**
 * Trains one step on the first device and, from the same weights, on all.
 * @param model - compiled with an optimizer that has no state, such as `sgd`, since both steps share it.
 * @param splitSizes - samples of each device.
 * @param prepare - is given each module before its step, for example to load weights.
 */
export async function compareOneStep(
  model: LayersModel,
  [xs, ys]: readonly [tf.Tensor, tf.Tensor],
  { deviceIds, splitSizes }: { readonly deviceIds: readonly string[]; readonly splitSizes: readonly number[] },
  prepare: (net: LayersModule) => Promise<void> = () => Promise.resolve(),
): Promise<Comparison> {
  const one = fromLayersModel(model);
  await prepare(one);
  const before = await valuesOf(one);
  const [lossOfOne, secondsOfOne] = await timed(async () => Number(await trainOnBatch(one, xs, ys)));
  const alone = await valuesOf(one);

  const net = fromLayersModel(model);
  await prepare(net);
  const several = convertModel(new DataParallel(net, { deviceIds, splitSizes }));
  const [lossOfSeveral, secondsOfSeveral] = await timed(async () => Number(await trainOnBatch(several, xs, ys)));
  const together = await valuesOf(net);

  const isWeight = (name: string): boolean => !name.includes('running_');
  const isStatistic = (name: string): boolean => !isWeight(name);
  const largestChange = largest(before, alone, isWeight);
  return {
    losses: [lossOfOne, lossOfSeveral],
    largestChange,
    weights: largest(alone, together, isWeight) / largestChange,
    statistics: largest(alone, together, isStatistic) / largest(before, alone, isStatistic),
    seconds: [secondsOfOne, secondsOfSeveral],
  };
}

async function valuesOf(net: LayersModule): Promise<Values> {
  const values = new Map<string, Float32Array>();
  for (const [name, value] of Object.entries(net.stateDict())) {
    if (typeof value !== 'number') values.set(name, await value.data());
  }
  return values;
}

/** Largest difference of any value whose name is wanted; NaN where one is NaN. */
function largest(some: Values, others: Values, isWanted: (name: string) => boolean): number {
  let most = 0;
  for (const [name, values] of some) {
    if (!isWanted(name)) continue;
    const other = others.get(name);
    values.forEach((value, i) => {
      const difference = Math.abs(value - (other?.[i] ?? NaN));
      most = difference <= most ? most : difference;
    });
  }
  return most;
}

async function timed<T>(work: () => Promise<T>): Promise<[T, number]> {
  const start = performance.now();
  const result = await work();
  return [result, (performance.now() - start) / 1000];
}
