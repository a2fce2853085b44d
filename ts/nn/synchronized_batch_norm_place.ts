/** Whether a layer synchronizes now, and the warnings for when it should have and did not. */

import type { ProcessGroup } from '../sync/process_group.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { checkTensor } from './batch_norm_checks.ts';
import type { ModuleInterface } from './module_interface.ts';
import { typeNameOf } from './module_repr.ts';
import { placeInForward, type ReplicaPlace } from './replica.ts';
import { ranksOf } from './synchronized_batch_norm_group.ts';

/**
 * Where the layer meets the other replicas, and other ranks through them; without a meeting point for a layer outside of replicas, which
 * meets other ranks alone. `null` when it meets nobody: outside replicas, in the only one, in evaluation, and under plain `DataParallel`,
 * of which it warns.
 * @throws Error under plain `DataParallel` with a process group, whose other ranks would wait in vain; TypeError for what is no tensor.
 */
export function meetingPlace(
  layer: ModuleInterface & { readonly processGroup: ProcessGroup | null },
  x: Tensor,
): ReplicaPlace | null {
  const place = placeInForward(layer);
  const hasRanks = layer.training && ranksOf(layer) !== null;
  if (place === null && hasRanks) {
    const devices = [checkTensor(x, 'the input').name];
    const pass = { isOver: false, reports: [] };
    return { index: 0, devices, path: typeNameOf(layer), original: layer, pass, meetingPoint: null };
  }
  if (place === null || !layer.training || (place.devices.length === 1 && !hasRanks)) {
    return null;
  }
  const meets = place.meetingPoint !== null;
  if (!meets && hasRanks) {
    throw new Error(
      `layer ${place.path} has a processGroup, but its replicas do not meet in a plain DataParallel; use DataParallelWithCallBack, ` +
        `convertModel() or patchReplicationCallback()`,
    );
  }
  if (!meets) {
    warnOfLocalStatistics(
      place,
      'plain DataParallel',
      'it runs in a plain DataParallel; use DataParallelWithCallBack, convertModel() or patchReplicationCallback()',
    );
    return null;
  }
  return place;
}

/** Warns of a plain layer that trains where synchronized layers would synchronize. */
export function warnIfPlainAmongReplicas(layer: ModuleInterface): void {
  const place = placeInForward(layer);
  if (place !== null && place.meetingPoint !== null && place.devices.length > 1 && layer.training) {
    warnOfLocalStatistics(
      place,
      'plain layer',
      'it is no synchronized layer; use SynchronizedBatchNorm1d, 2d or 3d, or convertModel()',
    );
  }
}

/** Why a layer used the statistics of each device alone. */
export type LossOfSynchronization = 'plain DataParallel' | 'plain layer' | 'time-out';

/** Which layers have been warned of, by cause. Holds nothing alive. */
const warned: Readonly<Record<LossOfSynchronization, WeakSet<ModuleInterface>>> = {
  'plain DataParallel': new WeakSet(),
  'plain layer': new WeakSet(),
  'time-out': new WeakSet(),
};

/** Warns once per layer and cause: a loss of synchronization is not an error, but must not be silent. */
export function warnOfLocalStatistics(place: ReplicaPlace, cause: LossOfSynchronization, reason: string): void {
  if (!warned[cause].has(place.original)) {
    warned[cause].add(place.original);
    console.warn(
      `syncbn: the layer ${place.path} was trained with the statistics of each device alone, not of the whole batch ` +
        `on ${place.devices.length} devices: ${reason}. Said once per layer.`,
    );
  }
}
