/** A forward pass of the twin: of the batch that all shards are together, or of each shard by itself. */

import { devices, tensor } from 'syncbn';
import type { BatchSpec } from '../program.ts';
import { elementsOf, type Part, put, take, together } from '../shards.ts';
import type { TwinPart, World } from '../world.ts';

/** The parts that the twin normalizes one by one, in training or in evaluation. */
export function partsOf(
  { norms }: World,
  shards: readonly Part[],
  training: boolean,
  synchronizes: boolean,
): readonly Part[] {
  const usesOwn = training ? !synchronizes : norms.some(({ trackRunningStats }) => !trackRunningStats);
  return usesOwn ? shards : [together(shards)];
}

/** Whether a part is too small for its statistics: layers then refuse it. */
export function isTooSmall(world: World, parts: readonly Part[], training: boolean): boolean {
  const usesBatch = world.norms.some(({ trackRunningStats }) => training || !trackRunningStats);
  return usesBatch && parts.some(({ shape }) => elementsOf(shape) === shape[1]);
}

/** Runs the twin on every part; the first is normalized by the twin itself, whose state it determines. */
export async function runTwin(
  world: World,
  parts: readonly Part[],
  data: Float32Array,
  { format }: BatchSpec,
): Promise<readonly TwinPart[]> {
  const device = world.twinDevice;
  await devices.get(device).ready();
  const models = [world.twin.module];
  for (let i = 1; i < parts.length; i++) models.push(await world.twinCopy());
  const passes: TwinPart[] = [];
  for (const [i, model] of models.entries()) {
    const part = parts[i];
    if (part === undefined) continue;
    const x = tensor(take(data, part), part.shape, { device, requiresGrad: true, memoryFormat: format });
    const y = await (i === 0 ? world.twin.forward(x) : model.forward(x));
    passes.push({ part, model, x, y });
  }
  return passes;
}

/** The values of all parts in the whole batch. */
export async function joined(
  shape: readonly number[],
  twins: readonly TwinPart[],
  valuesOf: (twin: TwinPart) => Promise<Float32Array> | undefined,
): Promise<Float32Array> {
  const whole = new Float32Array(elementsOf(shape));
  for (const twin of twins) put(whole, twin.part, (await valuesOf(twin)) ?? []);
  return whole;
}
