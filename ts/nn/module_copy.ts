/** Shallow copies of modules, from which replicas are made, and the way back of their state. */

import type { Storage } from '../tensor/storage.ts';
import { Tensor } from '../tensor/tensor.ts';
import { sameShape } from '../tensor/shape.ts';
import type { Module } from './module.ts';
import { type Buffer, buffersKey } from './module_tree.ts';

/**
 * An object of the same class with the same properties, children and parameters among them, but a buffer table of its
 * own: buffers set on the copy are not seen by the original.
 */
export function shallowCopy<M extends Module>(module: M): M {
  const copy = Object.create(Object.getPrototypeOf(module) as object) as M;
  // One by one takes half the time of a table of all descriptors, and every forward pass copies every module.
  for (const key of Reflect.ownKeys(module)) {
    Object.defineProperty(copy, key, Object.getOwnPropertyDescriptor(module, key) ?? {});
  }
  Object.defineProperty(copy, buffersKey, { value: new Map(module[buffersKey]), enumerable: true });
  return copy;
}

/** The buffers of a module tree when copies of it were made, so that it is seen later what has changed in them. */
export interface Beginning {
  /** The buffers of a module. */
  buffersOf(module: Module): ReadonlyMap<string, Buffer>;
  /** What is known of a tensor that was a buffer. */
  tensor(own: Tensor): BeginningTensor | undefined;
}

export interface BeginningTensor {
  /** What the first copy began with in its place, and the memory it had then. */
  readonly copy: Tensor | undefined;
  readonly storage: Storage;
  /** Whether it stood in several places of the tree. */
  readonly isShared: boolean;
}

/**
 * Gives a module what has changed in the buffers of its first copy. Its tensors stay the same objects; what other copies
 * have computed to be the same is kept, so that it needs not be sent to their devices.
 *
 * A buffer that is a tensor of another shape or kind in the copy is left alone, as PyTorch leaves buffers that the forward
 * of a replica has replaced. A tensor that is a buffer in several places takes the values that the replica's has; where the replica
 * has put another tensor into one of the places, that place gets a tensor of its own.
 */
export function adoptState(module: Module, [first, ...others]: readonly Module[], beginning: Beginning): void {
  const before = beginning.buffersOf(module);
  for (const [name, value] of first?.[buffersKey] ?? []) {
    const own = module[buffersKey].get(name);
    if (typeof value === 'number' && typeof own === 'number' && value !== before.get(name)) {
      module[buffersKey].set(name, value);
    } else if (value instanceof Tensor && own instanceof Tensor) {
      const known = beginning.tensor(own);
      if (known?.isShared === true && known.copy !== value) {
        module[buffersKey].set(name, fits(own, value) ? value.detach().keep() : own);
      } else if (known?.storage !== value.storage) {
        adoptTensor(own, value);
        others.forEach((other) => keepTwin(own, other[buffersKey].get(name)));
      }
    }
  }
}

function fits(own: Tensor, value: Tensor): boolean {
  const isThere = own.storage.device === value.storage.device && own.memoryFormat === value.memoryFormat;
  return isThere && sameShape(own.shape, value.shape);
}

function adoptTensor(own: Tensor, value: Tensor): void {
  if (fits(own, value) && own.storage !== value.storage) {
    own.replaceStorage(value.storage.retain());
  }
}

function keepTwin(own: Tensor, other: unknown): void {
  const { origin } = own.storage;
  if (origin !== null && other instanceof Tensor && !other.isDisposed && other.storage.origin === origin) {
    own.copies.keep(other.storage);
  }
}
