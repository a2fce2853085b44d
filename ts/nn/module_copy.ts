/** Shallow copies of modules, from which replicas are made, and the way back of their state. */

import { Tensor } from '../tensor/tensor.ts';
import { sameShape } from '../tensor/shape.ts';
import type { Module } from './module.ts';
import { buffersKey } from './module_tree.ts';

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

/**
 * Gives a module the values that the buffers of its first copy have now. Its tensors stay the same objects; what other copies
 * have computed to be the same is kept, so that it needs not be sent to their devices.
 *
 * A buffer that is a tensor of another shape or kind in the copy is left alone, as PyTorch leaves buffers that the forward
 * of a replica has replaced.
 */
export function adoptState(module: Module, [first, ...others]: readonly Module[]): void {
  for (const [name, value] of first?.[buffersKey] ?? []) {
    const own = module[buffersKey].get(name);
    if (typeof value === 'number' && typeof own === 'number') {
      module[buffersKey].set(name, value);
    } else if (value instanceof Tensor && own instanceof Tensor) {
      adoptTensor(own, value);
      others.forEach((other) => keepTwin(own, other[buffersKey].get(name)));
    }
  }
}

function adoptTensor(own: Tensor, value: Tensor): void {
  const fits = sameShape(own.shape, value.shape) && own.storage.device === value.storage.device;
  if (fits && own.memoryFormat === value.memoryFormat && own.storage !== value.storage) {
    own.replaceStorage(value.storage.retain());
  }
}

function keepTwin(own: Tensor, other: unknown): void {
  const { origin } = own.storage;
  if (origin !== null && other instanceof Tensor && !other.isDisposed && other.storage.origin === origin) {
    own.copies.keep(other.storage);
  }
}
