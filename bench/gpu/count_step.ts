/** What a step asks of the GPU. */

import type { Engine, GpuCounts, StepWork } from '../engine.ts';
import { difference, type WorkCounter } from './work_counter.ts';

/** Counts one step: all layers forward, then all backward, as they are timed. In the steady state, once they have been timed. */
export async function countStep(
  engine: Engine,
  variant: string,
  counter: Pick<WorkCounter, 'total'>,
): Promise<StepWork> {
  const layers = engine.layers(variant);
  const reversed = [...layers].reverse();
  const total = (): GpuCounts => ({
    ...counter.total,
    ...(engine.bytesMoved !== undefined && { bytesMoved: engine.bytesMoved() }),
  });
  for (const layer of layers) await layer.refresh?.();
  const start = total();
  for (const layer of layers) await layer.forward();
  await engine.finish?.();
  const middle = total();
  for (const layer of reversed) await (layer.backward ?? layer.step)?.call(layer);
  await engine.finish?.();
  return { forward: difference(middle, start), backward: difference(total(), middle) };
}
