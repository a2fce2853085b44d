/**
 * Nodes of the recorded graph. A node remembers where its inputs came from and what its backward needs; it is freed once
 * its backward has run, or when neither an output nor a later node refers to it any more.
 */

import type { DeviceGroup } from '../device/device.ts';
import { GraphFreedError } from '../errors.ts';
import { untrack } from './scope.ts';
import type { Shape } from './shape.ts';
import type { Storage } from './storage.ts';
import type { Tensor } from './tensor.ts';

/** Gradients in the order of the outputs or inputs; `null` where none flows or none is wanted. */
export type Gradients = readonly (Tensor | null)[];

/** One output of a node. */
export interface Source {
  readonly node: GraphNode;
  readonly index: number;
}

/** Where a gradient goes: into output `index` of the node that made the input, or to a leaf. */
export interface Edge {
  readonly target: Source | { readonly leaf: Tensor };
  readonly shape: Shape;
  readonly device: string;
}

export interface GraphNodeOptions {
  /** Names the operation in errors. */
  readonly name: string;
  /** The inputs; those that require no gradient, and nulls, get none. */
  readonly inputs: readonly (Tensor | null)[];
  /** Memory to hold until backward has run. */
  readonly saved: readonly Storage[];
  /** The node's place in the order of all nodes, from {@link nextInOrder}; by default the next. */
  readonly sequence?: number;
  /**
   * Gradients of the outputs to gradients of the inputs. A `null` output gradient, or one missing at the end, means zero.
   * The tensors returned pass to the tape, which disposes them; those received belong to the tape too and may be written
   * over where they are overwritable. Devices that still work on the results, as a group, are added to `groups`; the tape asks
   * them how it went before it keeps anything.
   */
  readonly backward: (gradients: Gradients, groups: Set<DeviceGroup>) => Gradients | Promise<Gradients>;
}

let nextSequence = 0;

/** Reserves the next place in the order of all nodes, for a node that is made later; its inputs must all be there. */
export function nextInOrder(): number {
  return nextSequence++;
}

/**
 * A recorded operation. Made when the operation begins, so that an input which is disposed while an asynchronous operation
 * runs has its place in the graph; an operation that fails frees its node.
 */
export class GraphNode {
  readonly name: string;
  /** Order of the calls: a node's inputs were made before it, so descending order is a reverse topological one. */
  readonly sequence: number;
  #edges: readonly (Edge | null)[];
  #saved: readonly Storage[];
  #owned: readonly Tensor[] = [];
  #backward: GraphNodeOptions['backward'] | null;
  #references = 0;
  #isRunning = false;

  constructor(options: GraphNodeOptions) {
    this.name = options.name;
    this.sequence = options.sequence ?? nextInOrder();
    this.#edges = options.inputs.map((input) => (input?.requiresGrad === true ? edgeTo(input) : null));
    this.#saved = options.saved;
    this.#saved.forEach((storage) => storage.retain());
    this.#backward = options.backward;
  }

  /** One per input, `null` for those that get no gradient. */
  get edges(): readonly (Edge | null)[] {
    return this.#edges;
  }

  /** Hands over tensors that the backward needs. */
  own(tensors: readonly Tensor[]): void {
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
  run(gradients: Gradients, groups: Set<DeviceGroup>): Gradients | Promise<Gradients> {
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
    const abandoned: GraphNode[] = [this];
    for (let node = abandoned.pop(); node !== undefined; node = abandoned.pop()) {
      node.#references -= 1;
      if (node.#references === 0) {
        abandoned.push(...node.#detach());
      }
    }
  }

  /** Frees what was saved and lets go of the nodes before this one. */
  free(): void {
    this.#detach().forEach((node) => node.release());
  }

  /** The nodes this one held, each of which has one reference too many now. Not recursive: graphs can be deep. */
  #detach(): GraphNode[] {
    this.#saved.forEach((storage) => storage.release());
    this.#owned.forEach((tensor) => tensor.dispose());
    const held = this.#edges.flatMap((edge) => (edge !== null && 'node' in edge.target ? [edge.target.node] : []));
    this.#saved = [];
    this.#owned = [];
    this.#edges = [];
    this.#backward = null;
    return held;
  }
}

function edgeTo(input: Tensor): Edge {
  const { shape, device, source } = input;
  source?.node.retain();
  return { target: source ?? { leaf: input }, shape, device };
}
