/**
 * Whether a layer shares its batch with the ranks of a process group, and the way to the code that exchanges with them, which is loaded
 * when the first layer does.
 */

import type { Device } from '../device/device.ts';
import { mergePartials } from '../device/registry.ts';
import { checkProcessGroup, type ProcessGroup } from '../sync/process_group.ts';
import type { ModuleInterface } from './module_interface.ts';
import type { PartialKind } from './partial_header.ts';
import type { Announcement, BatchPlan, LayerInGroup } from './synchronized_batch_norm_shards.ts';

/** By the layer that replicas are copied from. */
const layers = new WeakMap<ModuleInterface, LayerInGroup>();
/** How many layers each group has. */
const layerCounts = new WeakMap<ProcessGroup, number>();

/** The group that a layer exchanges with; `null` where it has none, or is alone in it. */
export function ranksOf(layer: { readonly processGroup: ProcessGroup | null }): ProcessGroup | null {
  const group = checkProcessGroup(layer.processGroup);
  return group === null || group.size === 1 ? null : group;
}

/**
 * Numbers the layers of a group in the order in which the program makes them, which is the same on every rank. Those that were not made
 * by a constructor are numbered when they are first called.
 */
export function joinGroup(layer: ModuleInterface, group: ProcessGroup): LayerInGroup {
  const known = layers.get(layer);
  if (known?.group === group) {
    return known;
  }
  const number = layerCounts.get(group) ?? 0;
  layerCounts.set(group, number + 1);
  const joined: LayerInGroup = { group, number, calls: 0, lastShapes: null };
  layers.set(layer, joined);
  return joined;
}

/** The plan of a batch that ranks share; see `planAcrossRanks`. */
export async function planWithRanks(
  original: ModuleInterface,
  group: ProcessGroup,
  devices: readonly Device[],
  own: readonly Announcement[],
): Promise<BatchPlan> {
  const { planAcrossRanks } = await import('./synchronized_batch_norm_ranks.ts');
  return planAcrossRanks(original, group, devices, own);
}

/** Merged partials of the whole batch; or the plan that other partials are needed for. */
export type FirstMerge = { readonly merged: Uint8Array } | { readonly replanned: BatchPlan };

/** Merges the partials that come first in a call, over the replicas and, where there are ranks, over these. */
export async function mergeFirst(
  devices: readonly Device[],
  partials: readonly Uint8Array[],
  plan: BatchPlan,
  kind: PartialKind,
): Promise<FirstMerge> {
  if (plan.ranks === null) {
    return { merged: await mergePartials(devices, partials) };
  }
  const { mergeFirstAcrossRanks } = await import('./synchronized_batch_norm_ranks.ts');
  return mergeFirstAcrossRanks(devices, partials, plan, kind);
}

/**
 * Merges partials whose plan is known to all, as {@link mergeFirst} does.
 * @param step - names the exchange within the call.
 */
export async function mergeAgain(
  devices: readonly Device[],
  partials: readonly Uint8Array[],
  plan: BatchPlan,
  kind: PartialKind,
  step: string,
): Promise<Uint8Array> {
  if (plan.ranks === null) {
    return mergePartials(devices, partials);
  }
  const { mergeAgainAcrossRanks } = await import('./synchronized_batch_norm_ranks.ts');
  return mergeAgainAcrossRanks(devices, partials, plan, kind, step);
}
