/**
 * What changes the gradients of a backward pass before they are added to the `grad` of leaves: the seam for training on several
 * processes, which exchange gradients while the pass still runs.
 */

import type { Differentiable, GraphNode } from './graph_node.ts';

/** Takes part in every backward pass that leads to one of its leaves. */
export interface HookOf<T> {
  /**
   * A pass begins.
   * @param reached - those leaves of the hook that the graph leads to.
   */
  begin(reached: ReadonlySet<T>): PassOf<T>;
}

/** A hook's part in one backward pass. */
export interface PassOf<T> {
  /**
   * The gradient of a leaf is complete, though others are not. The pass goes on without waiting. Called once for each leaf that was reached.
   *
   * @param gradient - what this pass adds; `null` where none has come. It belongs to the pass: read it, and nothing else.
   * @param grad - what it would be added to, or `null`.
   */
  ready(leaf: T, gradient: T | null, grad: T | null): void;
  /**
   * The gradients of all leaves are complete.
   * @returns what takes the place of gradients, by leaf; the tensors then belong to the pass. Leaves that are not named keep theirs.
   */
  finish(): Promise<ReadonlyMap<T, GradientOf<T>>>;
  /** The pass has failed before that, or while it waited. */
  fail(reason: unknown): void;
}

/** A gradient that a hook gives. */
export interface GradientOf<T> {
  readonly gradient: T;
  /** Whether it takes the place of what the leaf's `grad` held, instead of being added to it. */
  readonly replacesGrad: boolean;
}

/** By leaf, of the class of tensors that the graph has. */
const hooks = new WeakMap<object, unknown>();

/** @throws RangeError for a leaf that has a hook already. */
export function addHook<T extends object>(leaves: readonly T[], hook: HookOf<T>): void {
  if (leaves.some((leaf) => hooks.has(leaf))) {
    throw new RangeError(
      'registerGradientHook(): expected leaves without a hook, got one that another has; a parameter belongs to one DistributedDataParallel',
    );
  }
  leaves.forEach((leaf) => hooks.set(leaf, hook));
}

export function removeHook(leaves: readonly object[]): void {
  leaves.forEach((leaf) => hooks.delete(leaf));
}

/** The hooks' parts in one pass. */
export class HookedPass<T extends Differentiable<T>> {
  readonly #passes = new Map<HookOf<T>, PassOf<T>>();
  readonly #hookOf: ReadonlyMap<T, HookOf<T>>;
  /** Of each leaf with a hook, through how many edges gradients may still come. */
  readonly #open = new Map<T, number>();
  readonly #leavesBehind = new Map<GraphNode<T>, readonly T[]>();

  constructor(hookOf: ReadonlyMap<T, HookOf<T>>, nodes: readonly GraphNode<T>[]) {
    this.#hookOf = hookOf;
    for (const node of nodes) {
      const leaves = node.edges.flatMap((edge) => (edge !== null && 'leaf' in edge.target ? [edge.target.leaf] : []));
      this.#leavesBehind.set(node, leaves);
      leaves.forEach((leaf) => this.#open.set(leaf, (this.#open.get(leaf) ?? 0) + 1));
    }
    for (const hook of new Set(hookOf.values())) {
      const reached = [...hookOf].filter(([, own]) => own === hook).map(([leaf]) => leaf);
      this.#passes.set(hook, hook.begin(new Set(reached)));
    }
  }

  /** The leaves with hooks whose gradients are complete when a node has been run, or passed over. To be asked once for each node. */
  completedBy(node: GraphNode<T>): T[] {
    const complete: T[] = [];
    for (const leaf of this.#leavesBehind.get(node) ?? []) {
      const open = (this.#open.get(leaf) ?? 0) - 1;
      this.#open.set(leaf, open);
      if (open === 0 && this.#hookOf.has(leaf)) {
        complete.push(leaf);
      }
    }
    return complete;
  }

  /** The leaves with hooks that no node leads to: the pass begins there. */
  withoutNodes(): T[] {
    return [...this.#hookOf.keys()].filter((leaf) => !this.#open.has(leaf));
  }

  ready(leaf: T, gradient: T | null): void {
    const hook = this.#hookOf.get(leaf);
    const pass = hook && this.#passes.get(hook);
    pass?.ready(leaf, gradient, leaf.gradToAddTo);
  }

  /** @returns what takes the place of gradients. */
  async finish(): Promise<ReadonlyMap<T, GradientOf<T>>> {
    const changes = await Promise.all(Array.from(this.#passes.values(), (pass) => pass.finish()));
    return new Map(changes.flatMap((change) => [...change]));
  }

  fail(reason: unknown): void {
    this.#passes.forEach((pass) => pass.fail(reason));
  }
}

/** The leaves that have a hook, with it. */
export function hooksOf<T extends Differentiable<T>>(leaves: Iterable<T>): ReadonlyMap<T, HookOf<T>> {
  const found = new Map<T, HookOf<T>>();
  for (const leaf of leaves) {
    const hook = hooks.get(leaf) as HookOf<T> | undefined;
    if (hook !== undefined) {
      found.set(leaf, hook);
    }
  }
  return found;
}
