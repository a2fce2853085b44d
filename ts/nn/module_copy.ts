/** Shallow copies of modules, from which replicas are made, and the way back of their state. */

import type { Storage } from '../tensor/storage.ts';
import { Tensor } from '../tensor/tensor.ts';
import { sameShape } from '../tensor/shape.ts';
import type { ModuleInterface } from './module_interface.ts';
import { type Buffer, buffersKey, isBufferAccessor, type TreeEntry } from './module_tree.ts';
import { placeReplica, type ReplicaPlace } from './replica.ts';

/** What stands in the copies of a replica in place of the children, parameters and buffers of the originals. */
export interface Counterparts {
  readonly module: (original: ModuleInterface, replica: number) => ModuleInterface | null;
  readonly tensor: (original: Tensor, replica: number) => Tensor | null;
}

/**
 * Objects of the same class with the same properties, but with children, parameters and a buffer table of their own: buffers
 * set on a copy are not seen by the original.
 * @param places - of the copies among the replicas; there are as many copies.
 */
export function shallowCopies(
  entry: TreeEntry,
  places: readonly ReplicaPlace[],
  counterparts: Counterparts,
): ModuleInterface[] {
  const { module, children, parameters } = entry;
  const special = specialProperties(module);
  // Every forward pass copies every module. A spread takes a tenth of the time that defining the properties takes, but it reads them,
  // and what a getter of the user's does is not ours to cause.
  const hasGetters = special.some(([, property]) => 'get' in property && !isBufferAccessor(property));
  const properties = hasGetters ? Object.getOwnPropertyDescriptors(module) : null;
  const copies: ModuleInterface[] = [];
  for (const place of places) {
    const copy = copyOf(module, properties, special);
    for (const [name, child] of children) {
      replaceProperty(copy, special, name, counterparts.module(child, place.index));
    }
    for (const [name, parameter] of parameters) {
      replaceProperty(copy, special, name, counterparts.tensor(parameter, place.index));
    }
    setBuffers(copy, module[buffersKey], counterparts, place.index);
    placeReplica(copy, place);
    copies.push(copy);
  }
  return copies;
}

type Property = readonly [key: PropertyKey, descriptor: PropertyDescriptor];

/** The properties that assignment does not make. */
function specialProperties(module: ModuleInterface): readonly Property[] {
  const special: Property[] = [];
  for (const key of Reflect.ownKeys(module)) {
    const descriptor = Object.getOwnPropertyDescriptor(module, key);
    const isPlain = descriptor?.writable === true && descriptor.enumerable === true && descriptor.configurable === true;
    if (descriptor !== undefined && !isPlain) {
      special.push([key, descriptor]);
    }
  }
  return special;
}

/** @param properties - all of them; `null`: a spread may read them. */
function copyOf(
  module: ModuleInterface,
  properties: PropertyDescriptorMap | null,
  special: readonly Property[],
): ModuleInterface {
  const prototype = Object.getPrototypeOf(module) as object;
  if (properties !== null) {
    return Object.create(prototype, properties) as ModuleInterface;
  }
  const copy: object = { __proto__: prototype, ...module };
  for (const [key, descriptor] of special) {
    Object.defineProperty(copy, key, descriptor);
  }
  return copy as ModuleInterface;
}

/** Gives a copy a value in place of a property of the original's. */
function replaceProperty(copy: ModuleInterface, special: readonly Property[], name: string, value: unknown): void {
  if (special.length > 0 && special.some(([key]) => key === name)) {
    Object.defineProperty(copy, name, { value, writable: true, enumerable: true, configurable: true });
  } else {
    (copy as unknown as Record<string, unknown>)[name] = value;
  }
}

function setBuffers(
  copy: ModuleInterface,
  originals: ReadonlyMap<string, Buffer>,
  counterparts: Counterparts,
  replica: number,
): void {
  const buffers = new Map<string, Buffer>();
  for (const [name, buffer] of originals) {
    buffers.set(name, buffer instanceof Tensor ? counterparts.tensor(buffer, replica) : buffer);
  }
  (copy as { [buffersKey]: Map<string, Buffer> })[buffersKey] = buffers;
}

/** The buffers of a module tree when copies of it were made, so that it is seen later what has changed in them. */
export interface Beginning {
  /** The buffers of a module. */
  buffersOf(module: ModuleInterface): ReadonlyMap<string, Buffer>;
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
export function adoptState(
  module: ModuleInterface,
  [first, ...others]: readonly ModuleInterface[],
  beginning: Beginning,
): void {
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
