/** Modules: layers, and trees of layers, with what they learn and remember. PyTorch's `nn.Module`. */

import { copyKey, thisCopy } from '../copy_of_library.ts';
import { describeValue } from '../describe_value.ts';
import type { DeviceName } from '../device/device.ts';
import { deviceByName } from '../device/registry.ts';
import type { Parameter } from '../tensor/parameter.ts';
import { checkFunction } from '../tensor/check_function.ts';
import { isTensor, Tensor } from '../tensor/tensor.ts';
import { inspectKey } from '../tensor/tensor_repr.ts';
import { moveModule } from './module_device.ts';
import type { ModuleInterface } from './module_interface.ts';
import { formatModule } from './module_repr.ts';
import {
  type Buffer,
  buffersKey,
  childrenOf,
  joinPath,
  noteBufferAccessor,
  survey,
  type TreeEntry,
  walk,
} from './module_tree.ts';
import { loadStateDict, stateDictOf } from './state_dict.ts';
import type { LoadableStateDict, LoadStateDictOptions, LoadStateDictResult, StateDict } from './state_dict_types.ts';

/**
 * Base class of everything that is a layer. A subclass calls `super()`, assigns modules and parameters as properties,
 * registers buffers, and has a `forward`; nothing else is needed. Private `#fields` do not survive replication, which
 * copies properties: write `private` ones.
 *
 * @example
 * ```ts
 * class Block extends Module {
 *   readonly bn = new BatchNorm2d(64);
 *   readonly scale = new Parameter(tensor([1]));
 *   async forward(x: Tensor): Promise<Tensor> {
 *     return relu(await this.bn.forward(x));
 *   }
 * }
 * ```
 */
export abstract class Module implements ModuleInterface {
  /** @internal */
  get [copyKey](): object {
    return thisCopy;
  }

  /** Makes `structuredClone` and `postMessage` fail: a clone would be an object without methods and memory. @internal */
  readonly cloning: symbol = cannotBeCloned;

  /** Whether layers behave as in training; set by {@link Module.train} and {@link Module.eval}. */
  training = true;

  /** @internal */
  readonly [buffersKey] = new Map<string, Buffer>();

  /**
   * Computes the output. Subclasses choose the parameters; asynchronous for all layers of this library. Functions that call modules of whichever class
   * name what they need, for one tensor by the type `TensorModule`.
   */
  abstract forward(...inputs: never[]): unknown;

  /** Runs on every replica before its forward, under `DataParallelWithCallBack`; `context` is shared by all replicas of a layer. */
  onReplicate(_context: object, _replicaIndex: number): void {
    // A layer that takes no part in synchronization has nothing to prepare.
  }

  /**
   * Receives what a replica of this module reports by {@link reportToOriginal}, when the forward of all replicas has succeeded. Synchronous. What
   * it throws fails the forward pass, and the state stays as it was.
   */
  onReport(_value: unknown, _replicaIndex: number): void {
    // A layer that reports nothing has nothing to receive.
  }

  /**
   * Registers a tensor, or a number, as part of the state: it moves with the module and stands in its state dict.
   *
   * @param name - its key in state dicts.
   * @param value - the tensor, which then lives outside every scope; `null`: absent for now.
   * @param property - the property it is read and replaced by; default `name`.
   * @throws RangeError when the property exists already.
   */
  registerBuffer(name: string, value: Buffer, property: string = name): void {
    if (typeof name !== 'string' || name === '' || name.includes('.')) {
      throw new RangeError(`registerBuffer(): expected a name without dots, got ${JSON.stringify(name)}`);
    }
    const hasProperty = property in this && (this as unknown as Record<string, unknown>)[property] !== undefined;
    if (hasProperty && !this[buffersKey].has(name)) {
      throw new RangeError(`registerBuffer(): attribute '${property}' already exists`);
    }
    this.setBuffer(name, value);
    Object.defineProperty(this, property, bufferAccessor(name));
  }

  /**
   * Registers a buffer that the class has accessors for, or replaces it. Own properties would be copied with each replica.
   * @internal
   */
  setBuffer(name: string, value: Buffer): void {
    this[buffersKey].set(name, checkBuffer(name, value));
  }

  /** Sets the training mode of this module and all below. */
  train(mode = true): this {
    if (typeof mode !== 'boolean') {
      throw new TypeError(`training mode is expected to be boolean, got ${String(mode)}`);
    }
    for (const module of this.modules()) {
      module.training = mode;
    }
    return this;
  }

  /** Evaluation mode: `train(false)`. */
  eval(): this {
    return this.train(false);
  }

  /**
   * Moves parameters, gradients and buffers to a device. Parameters stay the same objects. On failure nothing has moved.
   * @throws UnknownDeviceError, OutOfMemoryError; ForwardInProgressError while a `DataParallel` runs the module.
   */
  async to(device: DeviceName): Promise<this> {
    await moveModule(this, deviceByName(device));
    return this;
  }

  /** The modules one level below, in order of assignment, each once. */
  *children(): Generator<Module> {
    for (const [, child] of this.namedChildren()) {
      yield child;
    }
  }

  /** {@link Module.children} with their property names. */
  *namedChildren(): Generator<[name: string, child: Module]> {
    yield* onceEach(ofClass(childrenOf(this)));
  }

  /**
   * This module and all below, parents first, each once.
   * @throws CyclicModuleError
   */
  *modules(): Generator<Module> {
    for (const [, module] of ofClass(walk(this, 'once'))) {
      yield module;
    }
  }

  /** {@link Module.modules} with their dotted paths; the path of this module is `''`. */
  *namedModules(): Generator<[path: string, module: Module]> {
    for (const [path, module] of ofClass(walk(this, 'once'))) {
      yield [path, module];
    }
  }

  /** The parameters of this module and all below, each once. */
  *parameters(): Generator<Parameter> {
    for (const [, parameter] of this.namedParameters()) {
      yield parameter;
    }
  }

  /** {@link Module.parameters} with their dotted paths. */
  *namedParameters(): Generator<[path: string, parameter: Parameter]> {
    yield* onceEach(namedBelow(this, ({ parameters }) => parameters));
  }

  /** The buffers that are tensors, of this module and all below, each once. */
  *buffers(): Generator<Tensor> {
    for (const [, buffer] of this.namedBuffers()) {
      yield buffer;
    }
  }

  /** {@link Module.buffers} with their dotted state-dict names. */
  *namedBuffers(): Generator<[path: string, buffer: Tensor]> {
    yield* onceEach(namedBelow(this, ({ module }) => tensorBuffersOf(module)));
  }

  /**
   * Calls `fn` with every module of the tree, children first.
   * @returns this module.
   * @throws CyclicModuleError before any call.
   */
  apply(fn: (module: Module) => void): this {
    checkFunction('apply()', fn);
    // A cycle would recurse for ever below; walking the tree finds it.
    walk(this, 'once');
    for (const child of this.children()) {
      child.apply(fn);
    }
    fn(this);
    return this;
  }

  /**
   * A snapshot of parameters, buffers and counters under PyTorch's keys; what two parents share stands under both. The
   * tensors share memory with the module until that changes, and are freed by `dispose()` or the end of a scope. Unlike
   * PyTorch's they do not change with the module, so `copy_` into one is refused: write to {@link Module.namedParameters} and
   * {@link Module.namedBuffers}, or change the dict and load it.
   * @throws RangeError when two values have one key.
   */
  stateDict(): StateDict {
    return stateDictOf(this);
  }

  /**
   * Copies the values that a state dict has at the call into this module; its tensors may be on any device.
   * @throws StateDictError naming every mismatch; ForwardInProgressError while a `DataParallel` runs the module. It is then
   * unchanged.
   */
  loadStateDict(dict: LoadableStateDict, options?: LoadStateDictOptions): Promise<LoadStateDictResult> {
    return loadStateDict(this, dict, options);
  }

  /** Sets the gradients of all parameters to `null` and frees them. */
  zeroGrad(): void {
    for (const parameter of this.parameters()) {
      parameter.grad?.dispose();
      parameter.grad = null;
    }
  }

  /** Sets whether the parameters are trained. */
  requiresGrad_(requiresGrad = true): this {
    for (const parameter of this.parameters()) {
      parameter.requiresGrad = requiresGrad;
    }
    return this;
  }

  /** What stands in the parentheses of {@link Module.toString}; for subclasses to say. */
  extraRepr(): string {
    return '';
  }

  /** As PyTorch prints a module, children indented. */
  toString(): string {
    return formatModule(this);
  }

  /** What `console.log(module)` shows in Node, Deno and Bun. */
  [inspectKey](): string {
    return this.toString();
  }

  /** @throws TypeError always: JSON has no room for tensors. */
  toJSON(): never {
    throw new TypeError(
      `a module cannot be written as JSON; for each [key, tensor] of stateDict() save Array.from(await tensor.data()), and give ` +
        `loadStateDict() an object with Float32Array.from(values) under the same keys later`,
    );
  }

  /** Whether {@link Module.toString} prints equal neighbours among the children once. @internal */
  mergesRepeats(): boolean {
    return false;
  }

  /** Whether somebody may hold what `forward` has taken or given: a module of the user's may. @internal */
  mayKeepTensors(): boolean {
    return true;
  }

  /** Names in state dicts that a load passes over, because the layers that a checkpoint comes from have them. @internal */
  ignoredNames(): readonly string[] {
    return [];
  }

  /** Properties that hold a parameter or `null`, and nothing else. @internal */
  parameterNames(): readonly string[] {
    return [];
  }

  /** Whether a state dict may lack this buffer, because old checkpoints do. @internal */
  toleratesMissing(_name: string): boolean {
    return false;
  }
}

/** The description is what the platform's error says. */
const cannotBeCloned: unique symbol = Symbol(
  'a module of syncbn; clone or send the values of its stateDict() instead, each as await tensor.data(),',
);

/** By name of the buffer. */
const bufferAccessors = new Map<string, PropertyDescriptor & ThisType<Module>>();

/**
 * The property that a buffer is read and replaced by, the same for all modules: engines keep objects fast whose accessors
 * are the same functions. `this` is the object the property is read from, so the copies that replicas are see their own.
 */
function bufferAccessor(name: string): PropertyDescriptor {
  const known = bufferAccessors.get(name);
  if (known !== undefined) {
    return known;
  }
  const accessor: PropertyDescriptor & ThisType<Module> = {
    configurable: true,
    enumerable: true,
    get() {
      return this[buffersKey].get(name) ?? null;
    },
    set(next: unknown) {
      this.setBuffer(name, next as Buffer);
    },
  };
  noteBufferAccessor(accessor);
  bufferAccessors.set(name, accessor);
  return accessor;
}

function checkBuffer(name: string, value: unknown): Buffer {
  if (isTensor(value)) {
    return value.keep();
  }
  if (value !== null && typeof value !== 'number') {
    throw new TypeError(`buffer '${name}': expected a Tensor, a number or null, got ${describeValue(value)}`);
  }
  return value;
}

function tensorBuffersOf(module: ModuleInterface): [name: string, buffer: Tensor][] {
  return [...module[buffersKey]].filter((entry): entry is [string, Tensor] => entry[1] instanceof Tensor);
}

/** Modules that were found by the key that only this class has. */
function ofClass(
  found: readonly (readonly [name: string, module: ModuleInterface])[],
): [name: string, module: Module][] {
  return found as unknown as [string, Module][];
}

/** What every module of a tree has, under dotted paths. */
function* namedBelow<T>(
  root: Module,
  of: (entry: TreeEntry) => readonly (readonly [string, T])[],
): Generator<[string, T]> {
  for (const entry of survey(root)) {
    for (const [name, value] of of(entry)) {
      yield [joinPath(entry.path, name), value];
    }
  }
}

function* onceEach<T>(entries: Iterable<[string, T]>): Generator<[string, T]> {
  const seen = new Set<T>();
  for (const entry of entries) {
    if (!seen.has(entry[1])) {
      seen.add(entry[1]);
      yield entry;
    }
  }
}
