/** The clock: the one place where a JavaScript engine is timed. */

import type { LayerRun, Timing } from './engine.ts';

/**
 * Runs steps and tells the mean time of one: all layers forward in order, then all backward in reverse, as a network
 * does. A pass ends when `finish` resolves, where layers only give commands. Layers whose framework cannot split a step run all forwards alone, then all whole steps.
 */
export async function timeSteps(
  layers: readonly LayerRun[],
  calls: number,
  finish?: () => Promise<void>,
): Promise<Timing> {
  const reversed = [...layers].reverse();
  const hasBackward = layers.every((layer) => layer.backward !== undefined);
  const hasStep = layers.every((layer) => layer.step !== undefined);
  for (const layer of layers) await layer.refresh?.();
  let first = 0;
  let second = 0;
  for (let call = 0; call < calls; call++) {
    const start = performance.now();
    for (const layer of layers) await layer.forward();
    if (finish !== undefined) await finish();
    const middle = performance.now();
    if (hasBackward) for (const layer of reversed) await layer.backward?.();
    else if (hasStep) for (const layer of reversed) await layer.step?.();
    if (finish !== undefined) await finish();
    first += middle - start;
    second += performance.now() - middle;
  }
  const seconds = (milliseconds: number) => milliseconds / 1000 / calls;
  if (hasBackward) return { forward: seconds(first), backward: seconds(second), step: seconds(first + second) };
  return { forward: seconds(first), ...(hasStep && { step: seconds(second) }) };
}
