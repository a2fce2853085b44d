/** What a module knows when it is a replica of another. Kept under a symbol, so that no property of a user's is in the way. */

import type { MeetingPoint } from '../sync/meeting_point.ts';
import type { ModuleInterface } from './module_interface.ts';

/** A module's place among the replicas of one forward pass. */
export interface ReplicaPlace {
  /** r, the number of the replica. */
  readonly index: number;
  /** Device of each replica; there are W. */
  readonly devices: readonly string[];
  /** Of the layer, from the wrapper: `module.layer1.bn`. */
  readonly path: string;
  /** What the module was copied from. */
  readonly original: ModuleInterface;
  /** The forward pass that the replicas were made for. */
  readonly pass: { readonly isOver: boolean; readonly reports: Report[] };
  /** Where the replicas meet; `null` without the callback behaviour, under plain `DataParallel`. */
  readonly meetingPoint: MeetingPoint | null;
}

/** What a replica has told the module that it was copied from: see `reportToOriginal`. */
export interface Report {
  readonly module: ModuleInterface;
  readonly replica: number;
  readonly value: unknown;
}

const placeKey: unique symbol = Symbol('syncbn.replica');

/** Makes a copy of a module a replica. Assignment takes a tenth of the time that defining a property takes. */
export function placeReplica(copy: object, place: ReplicaPlace): void {
  (copy as { [placeKey]?: ReplicaPlace })[placeKey] = place;
}

/** The module's place; `null` for a module that is no replica. */
export function replicaPlace(module: ModuleInterface): ReplicaPlace | null {
  return (module as { readonly [placeKey]?: ReplicaPlace })[placeKey] ?? null;
}

/**
 * The place of a layer that is being called.
 * @throws Error when the forward pass that the replica was made for is over: its copies of parameters are gone.
 */
export function placeInForward(layer: ModuleInterface): ReplicaPlace | null {
  const place = replicaPlace(layer);
  if (place?.pass.isOver === true) {
    throw new Error(
      `layer ${place.path}: it is a copy that one replica had for one forward pass, which is over; a backward, or whatever else ` +
        `comes later, cannot call it again to recompute its output: keep what is needed, by saveForBackward() for example`,
    );
  }
  return place;
}

/** Errors by the layer that threw them, for whoever reports them. Holds nothing alive. */
const layerPaths = new WeakMap<Error, string>();

/** Remembers which layer an error came from: the innermost layer that says so. */
export function noteLayerPath(error: unknown, path: string): void {
  if (error instanceof Error && !layerPaths.has(error)) {
    layerPaths.set(error, path);
  }
}

/** Path of the layer that threw the error, when it is known. */
export function layerPathOf(error: unknown): string | null {
  return error instanceof Error ? (layerPaths.get(error) ?? null) : null;
}
