/**
 * Nodes of the recorded graph. A node remembers where its inputs came from and what its backward needs; it is freed once
 * its backward has run, or when neither an output nor a later node refers to it any more.
 */

import type { DeviceGroup, MemoryFormat } from '../device/device.ts';
import { GraphFreedError } from '../errors.ts';
import type { FreeCallbacks } from './free_callbacks.ts';
import { type Scoped, untrack } from './scope.ts';
import type { Shape } from './shape.ts';
import type { Storage } from './storage.ts';

/**
 * What the graph and the backward pass need of a tensor. They are written against this interface and know nothing of how a tensor
 * is made, read or written. `Tensor` implements it, and explains the members.
 *
 * @typeParam T - the class of all tensors in a graph.
 */
export interface Differentiable<T extends Differentiable<T>> extends Scoped {
  readonly shape: Shape;
  readonly memoryFormat: MemoryFormat;
  readonly device: string;
  readonly serial: number;
  readonly requiresGrad: boolean;
  readonly isDisposed: boolean;
  readonly storage: Storage;
  /** `null` for a leaf. */
  readonly source: Source<T> | null;
  readonly gradToAddTo: T | null;
  receiveGrad(gradient: T): void;
  takeBackGrad(gradient: T): void;
  replaceStorage(storage: Storage): void;
  detach(): T;
  donate(): T;
  undonated(): T;
  writable(memoryFormat: MemoryFormat): T;
  plus(other: T): T;
}

/** Gradients in the order of the outputs or inputs; `null` where none flows or none is wanted. */
export type Gradients<T> = readonly (T | null)[];

/** One output of a node. */
export interface Source<T extends Differentiable<T>> {
  readonly node: GraphNode<T>;
  readonly index: number;
}

/** Where a gradient goes: into output `index` of the node that made the input, or to a leaf. */
export interface Edge<T extends Differentiable<T>> {
  readonly target: Source<T> | { readonly leaf: T };
  readonly shape: Shape;
  readonly device: string;
  /** When the input was used: gradients that meet are summed in descending order. */
  readonly order: number;
}

export interface GraphNodeOptions<T extends Differentiable<T>> {
  /** Names the operation in errors. */
  readonly name: string;
  /** The inputs; those that require no gradient, and nulls, get none. */
  readonly inputs: readonly (T | null)[];
  /** Memory to hold until backward has run. */
  readonly saved: readonly Storage[];
  /** What is to be called when the node is freed, also by the garbage collector. */
  readonly freeCallbacks?: FreeCallbacks;
  /** The node's place in the order of all nodes, from {@link nextInOrder}; by default the next. */
  readonly sequence?: number;
  /**
   * For each input its place in the order of all uses, where that is not the node's: a layer that waits for other replicas was called
   * before its node is made.
   */
  readonly orders?: readonly number[];
  /**
   * Gradients of the outputs to gradients of the inputs. A `null` output gradient, or one missing at the end, means zero.
   * The tensors returned pass to the tape, which disposes them; those received belong to the tape too and may be written
   * over where they are overwritable. Devices that still work on the results, as a group, are added to `groups`; the tape asks
   * them how it went before it keeps anything.
   */
  readonly backward: (gradients: Gradients<T>, groups: Set<DeviceGroup>) => Gradients<T> | Promise<Gradients<T>>;
}

const NOTHING: readonly never[] = [];

let nextSequence = 0;

/** Reserves the next place in the order of all nodes, for a node that is made later; its inputs must all be there. */
export function nextInOrder(): number {
  return nextSequence++;
}

/**
 * A recorded operation. Made when the operation begins, so that an input which is disposed while an asynchronous operation
 * runs has its place in the graph; an operation that fails frees its node.
 */
export class GraphNode<T extends Differentiable<T>> {
  readonly name: string;
  /** Order of the calls: a node's inputs were made before it, so descending order is a reverse topological one. */
  readonly sequence: number;
  #edges: readonly (Edge<T> | null)[];
  #saved: readonly Storage[];
  #owned: readonly T[] = NOTHING;
  #backward: GraphNodeOptions<T>['backward'] | null;
  #freeCallbacks: FreeCallbacks | null;
  #references = 0;
  #isRunning = false;

  constructor(options: GraphNodeOptions<T>) {
    this.name = options.name;
    this.sequence = options.sequence ?? nextInOrder();
    this.#edges = options.inputs.map((input, i) =>
      input?.requiresGrad === true ? edgeTo(input, options.orders?.[i] ?? this.sequence) : null,
    );
    this.#saved = options.saved;
    this.#saved.forEach((storage) => storage.retain());
    this.#backward = options.backward;
    this.#freeCallbacks = options.freeCallbacks ?? null;
    this.#freeCallbacks?.watch(this);
  }

  /** One per input, `null` for those that get no gradient. */
  get edges(): readonly (Edge<T> | null)[] {
    return this.#edges;
  }

  /** The memory that the node keeps, once for each of its references. */
  get held(): readonly Storage[] {
    return [...this.#saved, ...this.#owned.map(({ storage }) => storage)];
  }

  /** Hands over tensors that the backward needs. */
  own(tensors: readonly T[]): void {
    tensors.forEach(untrack);
    this.#owned = [...this.#owned, ...tensors];
  }

  /** @throws GraphFreedError when backward has run before, or a pass that goes through this node runs now. */
  checkRunnable(): void {
    if (this.#backward === null || this.#isRunning) {
      throw new GraphFreedError(this.name, this.#isRunning);
    }
  }

  /** Reserves the node for one backward pass, which must call {@link GraphNode.endPass}. @throws GraphFreedError */
  beginPass(): void {
    this.checkRunnable();
    this.#isRunning = true;
  }

  /** Leaves a node that has not been freed to another backward pass. */
  endPass(): void {
    this.#isRunning = false;
  }

  /** Computes the gradients of the inputs, within a pass. */
  run(gradients: Gradients<T>, groups: Set<DeviceGroup>): Gradients<T> | Promise<Gradients<T>> {
    if (this.#backward === null) {
      throw new GraphFreedError(this.name);
    }
    return this.#backward(gradients, groups);
  }

  retain(): this {
    this.#references += 1;
    return this;
  }

  /** Gives up one reference; with the last one, the node and whatever it alone held are freed. */
  release(): void {
    const abandoned: GraphNode<T>[] = [this];
    for (let node = abandoned.pop(); node !== undefined; node = abandoned.pop()) {
      node.#references -= 1;
      if (node.#references === 0) {
        const callbacks = node.#freeCallbacks;
        abandoned.push(...node.#detach());
        callbacks?.runQuietly();
      }
    }
  }

  /**
   * Frees what was saved and lets go of the nodes before this one.
   * @throws what a function of {@link GraphNodeOptions.freeCallbacks} throws; everything has been freed then.
   */
  free(): void {
    const callbacks = this.#freeCallbacks;
    this.#detach().forEach((node) => node.release());
    callbacks?.run();
  }

  /** The nodes this one held, each of which has one reference too many now. Not recursive: graphs can be deep. */
  #detach(): GraphNode<T>[] {
    this.#saved.forEach((storage) => storage.release());
    this.#owned.forEach((tensor) => tensor.dispose());
    const held: GraphNode<T>[] = [];
    for (const edge of this.#edges) {
      if (edge !== null && 'node' in edge.target) {
        held.push(edge.target.node);
      }
    }
    this.#saved = NOTHING;
    this.#owned = NOTHING;
    this.#edges = NOTHING;
    this.#backward = null;
    this.#freeCallbacks = null;
    return held;
  }
}

function edgeTo<T extends Differentiable<T>>(input: T, order: number): Edge<T> {
  const { shape, device, source } = input;
  source?.node.retain();
  return { target: source ?? { leaf: input }, shape, device, order };
}
