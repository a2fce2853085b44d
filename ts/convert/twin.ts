/**
 * Twins: a layer, or a wrapper, as another class sees it. A twin takes over every property of the object it is made from,
 * state and users' own properties included, so parameters, buffers and counters are the same objects in both.
 */

import { BatchNorm1d, BatchNorm2d, BatchNorm3d } from '../nn/batch_norm.ts';
import type { Module } from '../nn/module.ts';
import {
  SynchronizedBatchNorm1d,
  SynchronizedBatchNorm2d,
  SynchronizedBatchNorm3d,
} from '../nn/synchronized_batch_norm.ts';
import type { Synchronization } from '../nn/synchronized_batch_norm_settings.ts';
import { DataParallel, DataParallelWithCallBack } from '../parallel/data_parallel.ts';

/** Classes and their synchronized twins. */
const layerClasses = [
  [BatchNorm1d, SynchronizedBatchNorm1d],
  [BatchNorm2d, SynchronizedBatchNorm2d],
  [BatchNorm3d, SynchronizedBatchNorm3d],
] as const;

/** What a twin was made from, kept in it for the way back. */
interface Origin {
  readonly prototype: object;
  readonly hasReplicationCallback: boolean;
}

/** What a wrapper goes back to that was not made from another. */
const plainWrapper: Origin = { prototype: DataParallel.prototype, hasReplicationCallback: false };

const originKey: unique symbol = Symbol('syncbn.origin');

/**
 * The synchronized twin of a plain layer, or the twin with callbacks of a `DataParallel`. Anything else is its own twin:
 * other modules, what is synchronized already, and layers of a class written by a user that overrides something, which a
 * twin would lose.
 */
export function synchronizedTwin(module: Module, settings: Synchronization): Module {
  const isWrapper = module instanceof DataParallel && !(module instanceof DataParallelWithCallBack);
  if (isWrapper && isPlain(module, DataParallel)) {
    return twinOf(module, DataParallelWithCallBack.prototype, { hasReplicationCallback: true });
  }
  for (const [plain, synchronized] of layerClasses) {
    if (module instanceof plain && !(module instanceof synchronized) && isPlain(module, plain)) {
      return twinOf(module, synchronized.prototype, { ...settings });
    }
  }
  return module;
}

/** The plain twin of a synchronized layer or of a wrapper with callbacks; anything else is its own twin. */
export function plainTwin(module: Module): Module {
  if (module instanceof DataParallelWithCallBack && isPlain(module, DataParallelWithCallBack)) {
    const { prototype, hasReplicationCallback } = originOf(module) ?? plainWrapper;
    return twinOf(module, prototype, { hasReplicationCallback });
  }
  for (const [plain, synchronized] of layerClasses) {
    if (module instanceof synchronized && isPlain(module, synchronized)) {
      const twin = twinOf(module, originOf(module)?.prototype ?? plain.prototype, {});
      for (const setting of ['syncTimeout', 'onTimeout', 'epsMode'] satisfies (keyof Synchronization)[]) {
        Reflect.deleteProperty(twin, setting);
      }
      return twin;
    }
  }
  return module;
}

/** Whether no class between the module's own and `base` defines anything but a constructor. */
function isPlain(module: Module, base: { readonly prototype: object }): boolean {
  let prototype: object | null = Object.getPrototypeOf(module) as object | null;
  while (prototype !== null && prototype !== base.prototype) {
    if (Reflect.ownKeys(prototype).some((key) => key !== 'constructor')) {
      return false;
    }
    prototype = Object.getPrototypeOf(prototype) as object | null;
  }
  return true;
}

/** An object of another class with the same properties, buffer table included. */
function twinOf(module: Module, prototype: object, properties: object): Module {
  const twin = Object.create(prototype, Object.getOwnPropertyDescriptors(module)) as Module;
  const origin: Origin = {
    prototype: Object.getPrototypeOf(module) as object,
    hasReplicationCallback: module instanceof DataParallel && module.hasReplicationCallback,
  };
  Object.defineProperty(twin, originKey, { value: origin, configurable: true });
  return Object.assign(twin, properties);
}

function originOf(module: Module): Origin | null {
  return (module as { readonly [originKey]?: Origin })[originKey] ?? null;
}
