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

/** Classes and their synchronized twins, rank by rank. */
export const layerClasses = [
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

/** Where a twin keeps what it was made from. */
export const originKey: unique symbol = Symbol('syncbn.origin');

/** What becomes of a module: its twin, or why it has none; `null` where none was to be expected. */
export type Twin = { readonly twin: Module } | { readonly reason: string } | null;

/**
 * The synchronized twin of a plain layer, or the twin with callbacks of a `DataParallel`. Layers and wrappers with behaviour of their
 * own have none: a twin would lose what their class defines, and a function in a property of theirs would go on calling them.
 */
export function synchronizedTwin(module: Module, settings: Synchronization): Twin {
  if (module instanceof DataParallel) {
    return module instanceof DataParallelWithCallBack
      ? null
      : twinUnless(ownBehaviour(module, DataParallel, DataParallelWithCallBack), () =>
          twinOf(module, DataParallelWithCallBack.prototype, { hasReplicationCallback: true }),
        );
  }
  for (const [plain, synchronized] of layerClasses) {
    if (module instanceof plain) {
      return module instanceof synchronized
        ? null
        : twinUnless(ownBehaviour(module, plain, synchronized), () =>
            twinOf(module, synchronized.prototype, { ...settings }),
          );
    }
  }
  return null;
}

/** The plain twin of a synchronized layer or of a wrapper with callbacks. */
export function plainTwin(module: Module): Twin {
  if (module instanceof DataParallelWithCallBack) {
    return twinUnless(ownBehaviour(module, DataParallelWithCallBack, DataParallel), () => {
      const { prototype, hasReplicationCallback } = originOf(module) ?? plainWrapper;
      return twinOf(module, prototype, { hasReplicationCallback });
    });
  }
  for (const [plain, synchronized] of layerClasses) {
    if (module instanceof synchronized) {
      return twinUnless(ownBehaviour(module, synchronized, plain), () => {
        const twin = twinOf(module, originOf(module)?.prototype ?? plain.prototype, {});
        for (const setting of [
          'syncTimeout',
          'onTimeout',
          'epsMode',
          'processGroup',
        ] satisfies (keyof Synchronization)[]) {
          Reflect.deleteProperty(twin, setting);
        }
        return twin;
      });
    }
  }
  return null;
}

function twinUnless(reason: string | null, make: () => Module): Twin {
  return reason === null ? { twin: make() } : { reason };
}

/** A class with its name for errors. */
interface NamedClass {
  readonly prototype: object;
  readonly typeName: string;
}

/**
 * What a module does otherwise than its base class, as the reason why it has no twin: a class of the user's that defines anything
 * but a constructor, or a property of its own in the place of a method. A function that such a class sets for each object,
 * `run = (x) => this.forward(x)`, is a method too, and would go on using the object that was replaced.
 */
export function ownBehaviour(module: Module, base: NamedClass, target: NamedClass): string | null {
  const inPlaceOfMethod = Reflect.ownKeys(module).find((key) => {
    const property = Object.getOwnPropertyDescriptor(module, key);
    return key in base.prototype && (isFunction(property) || property?.get !== undefined);
  });
  if (inPlaceOfMethod !== undefined) {
    return (
      `it has a property ${String(inPlaceOfMethod)} of its own, which would go on calling the ${base.typeName}; ` +
      `make it a ${target.typeName} first, and set the property then`
    );
  }
  let prototype = Object.getPrototypeOf(module) as object | null;
  const isOfSubclass = prototype !== base.prototype;
  while (prototype !== null && prototype !== base.prototype) {
    const own = Reflect.ownKeys(prototype).find((key) => key !== 'constructor');
    if (own !== undefined) {
      return `its class defines ${String(own)} itself; let the class extend ${target.typeName}`;
    }
    prototype = Object.getPrototypeOf(prototype) as object | null;
  }
  const field = isOfSubclass
    ? Reflect.ownKeys(module).find((key) => isFunction(Object.getOwnPropertyDescriptor(module, key)))
    : undefined;
  return field === undefined
    ? null
    : `its class sets the function ${String(field)}, which may go on using the ${base.typeName}; let the class extend ${target.typeName}`;
}

function isFunction(property: PropertyDescriptor | undefined): boolean {
  return typeof property?.value === 'function';
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
