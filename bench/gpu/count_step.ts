/** What a step asks of the GPU. */

import type { Engine, GpuCounts, StepWork } from '../engine.ts';
import { difference, type WorkCounter } from './work_counter.ts';

/** Steps after which buffers are pooled and pipelines are compiled. */
const STEPS_BEFORE = 2;

/** Counts one step in the steady state: all layers forward, then all backward, as they are timed. */
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
  const step = async (): Promise<StepWork> => {
    for (const layer of layers) await layer.refresh?.();
    const start = total();
    for (const layer of layers) await layer.forward();
    await engine.finish?.();
    const middle = total();
    for (const layer of reversed) await (layer.backward ?? layer.step)?.call(layer);
    await engine.finish?.();
    return { forward: difference(middle, start), backward: difference(total(), middle) };
  };
  for (let i = 0; i < STEPS_BEFORE; i++) await step();
  return step();
}
