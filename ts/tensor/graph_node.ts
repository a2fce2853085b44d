/**
 * Nodes of the recorded graph. A node remembers where its inputs came from and what its backward needs; it is freed once
 * its backward has run, or when neither an output nor a later node refers to it any more.
 */

import { GraphFreedError } from '../errors.ts';
import { untrack } from './scope.ts';
import type { Shape } from './shape.ts';
import type { Storage } from './storage.ts';
import type { Tensor } from './tensor.ts';

/** Gradients in the order of the outputs or inputs; `null` where none flows or none is wanted. */
export type Gradients = readonly (Tensor | null)[];

/** Where a gradient goes: into output `index` of the node that made the input, or to a leaf. */
export interface Edge {
  readonly target: { readonly node: GraphNode; readonly index: number } | { readonly leaf: Tensor };
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
  /** Tensors whose handles belong to the node. */
  readonly owned?: readonly Tensor[];
  /**
   * Gradients of the outputs to gradients of the inputs. A `null` output gradient means zero. The tensors returned pass to
   * the tape, which disposes them; those received belong to the tape too and may be donated when marked so.
   */
  readonly backward: (gradients: Gradients) => Gradients | Promise<Gradients>;
}

let nextSequence = 0;

export class GraphNode {
  readonly name: string;
  /** Order of creation: a node's inputs were made before it, so descending order is a reverse topological one. */
  readonly sequence: number = nextSequence++;
  #edges: readonly (Edge | null)[];
  #saved: readonly Storage[];
  #owned: readonly Tensor[];
  #backward: GraphNodeOptions['backward'] | null;
  #references = 0;

  constructor(options: GraphNodeOptions) {
    this.name = options.name;
    this.#edges = options.inputs.map((input) => (input?.requiresGrad === true ? edgeTo(input) : null));
    this.#saved = options.saved.map((storage) => storage.retain());
    this.#owned = options.owned ?? [];
    this.#owned.forEach(untrack);
    this.#backward = options.backward;
  }

  get edges(): readonly (Edge | null)[] {
    return this.#edges;
  }

  /** Which inputs want a gradient. */
  get needsInputGrad(): readonly boolean[] {
    return this.#edges.map((edge) => edge !== null);
  }

  /** @throws GraphFreedError when backward has run before. */
  checkAlive(): void {
    if (this.#backward === null) {
      throw new GraphFreedError(this.name);
    }
  }

  async run(gradients: Gradients): Promise<Gradients> {
    if (this.#backward === null) {
      throw new GraphFreedError(this.name);
    }
    return this.#backward(gradients);
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
  const { shape, device } = input;
  const source = input.source;
  return source === null
    ? { target: { leaf: input }, shape, device }
    : { target: { node: source.node.retain(), index: source.index }, shape, device };
}
