/**
 * The backward pass: nodes run one after another in reverse order of their calls, gradients that meet are summed in that
 * order, and gradients reach the leaves only when every node has succeeded.
 */

import { isSynchronous, isTurnDue, synchronously, turn, withRoom } from '../device/awaited.ts';
import type { Device, DeviceGroup } from '../device/device.ts';
import { NotInitializedError } from '../errors.ts';
import { accumulateGrads } from './accumulate_grad.ts';
import { type GradientOf, HookedPass, hooksOf } from './gradient_hooks.ts';
import type { Differentiable, Edge, Gradients, GraphNode, Source } from './graph_node.ts';
import { untrack } from './scope.ts';
import { upcomingSerial } from './serial.ts';
import { formatShape, sameShape } from './shape.ts';
import { confirmation, copyTo } from './storage_ops.ts';

/** What a pass yields, it waits for. A pass that a synchronous call makes yields nothing. */
type Steps<Result = void> = Generator<Promise<unknown>, Result, void>;

/**
 * Runs the graph behind a tensor. The graph is safe from being freed once this function has been called.
 *
 * @param start - where the tensor came from.
 * @param dy - its gradient; belongs to the pass from now on.
 * @param device - where the tensor and its gradient are.
 */
export async function runBackward<T extends Differentiable<T>>(start: Edge<T>, dy: T, device: Device): Promise<void> {
  const steps = passSteps(start, dy, device);
  let step = steps.next();
  while (step.done !== true) {
    try {
      await step.value;
    } catch (error) {
      step = steps.throw(error);
      continue;
    }
    step = steps.next();
  }
}

/**
 * The same within a synchronous call.
 * @throws Error where something in the graph would have to be awaited. The gradients of the leaves are untouched then.
 */
export function runBackwardSync<T extends Differentiable<T>>(start: Edge<T>, dy: T, device: Device): void {
  synchronously(() => passSteps(start, dy, device).next());
}

function* passSteps<T extends Differentiable<T>>(start: Edge<T>, dy: T, device: Device): Steps {
  const { nodes, leaves, usedBefore } = behind(start);
  const pass = new BackwardPass<T>(usedBefore);
  pass.own(dy);
  const begun: GraphNode<T>[] = [];
  const hooks = hooksOf(leaves);
  let hooked: HookedPass<T> | null = null;
  nodes.forEach((node) => node.retain());
  try {
    for (const node of nodes) {
      node.beginPass();
      begun.push(node);
    }
    leaves.forEach((leaf) => leaf.gradToAddTo);
    yield* whenReady(device);
    if (hooks.size > 0) {
      refuseHooks();
      hooked = new HookedPass(hooks, nodes);
    }
    pass.deliver(start, dy);
    for (const node of nodes) {
      const complete = hooked?.completedBy(node) ?? [];
      yield* pass.run(node);
      for (const leaf of complete) {
        hooked?.ready(leaf, yield* pass.gradientOf(leaf));
      }
      if (!isSynchronous() && isTurnDue([device])) {
        yield turn();
      }
    }
    if (hooked !== null) {
      for (const leaf of hooked.withoutNodes()) {
        hooked.ready(leaf, yield* pass.gradientOf(leaf));
      }
      pass.change(yield* settled(hooked.finish()));
    }
    yield* pass.commit();
  } catch (error) {
    hooked?.fail(error);
    throw error;
  } finally {
    pass.end();
    begun.forEach((node) => node.endPass());
    nodes.forEach((node) => node.release());
  }
}

/** @throws Error in a synchronous pass, which cannot wait for what hooks exchange. */
function refuseHooks(): void {
  if (isSynchronous()) {
    throw new Error(
      'backwardSync(): the gradients of this graph are exchanged with other ranks, which has to be awaited; await backward() instead',
    );
  }
}

function* whenReady(device: Device): Steps {
  if (!device.isReady) {
    if (isSynchronous()) {
      throw new NotInitializedError(device.name);
    }
    yield device.ready();
  }
}

/** A result, which is awaited only where it is a promise: that costs a small layer as much as the rest of its node. */
function* settled<V>(result: V | Promise<V>): Steps<V> {
  if (!(result instanceof Promise)) {
    return result;
  }
  const values: V[] = [];
  yield result.then((value) => values.push(value));
  return values[0] as V;
}

/** A gradient that has come to an output or a leaf. */
interface Contribution<T> {
  readonly gradient: T;
  /** Of the use that it comes from. */
  readonly order: number;
}

/** The gradients of one backward pass on their way. Every tensor in here belongs to the pass. */
class BackwardPass<T extends Differentiable<T>> {
  /** What has come to each output of nodes that have not run. */
  readonly #waiting = new Map<GraphNode<T>, (Contribution<T>[] | undefined)[]>();
  readonly #leaves = new Map<T, Contribution<T>[]>();
  readonly #usedBefore: ReadonlySet<GraphNode<T> | T>;
  /** Leaves whose gradient takes the place of their `grad`. */
  readonly #replacing = new Set<T>();
  readonly #owned = new Set<T>();
  /** Devices that work on results together, which nobody has awaited. */
  readonly #groups = new Set<DeviceGroup>();

  /** @param usedBefore - see {@link Behind} */
  constructor(usedBefore: ReadonlySet<GraphNode<T> | T>) {
    this.#usedBefore = usedBefore;
  }

  own(gradient: T): void {
    untrack(gradient);
    this.#owned.add(gradient);
  }

  /** Brings a gradient to its place. @returns what has come there, which is to be summed; `null` while more may come in between. */
  deliver({ target, order }: Edge<T>, gradient: T): Contribution<T>[] | null {
    const contributions = 'leaf' in target ? this.#atLeaf(target.leaf) : this.#atOutput(target);
    contributions.push({ gradient, order });
    return this.#usedBefore.has('leaf' in target ? target.leaf : target.node) ? null : contributions;
  }

  #atLeaf(leaf: T): Contribution<T>[] {
    const contributions = this.#leaves.get(leaf) ?? [];
    this.#leaves.set(leaf, contributions);
    return contributions;
  }

  #atOutput({ node, index }: Source<T>): Contribution<T>[] {
    const outputs = this.#waiting.get(node) ?? [];
    this.#waiting.set(node, outputs);
    return (outputs[index] ??= []);
  }

  /** What has come to a leaf. */
  *gradientOf(leaf: T): Steps<T | null> {
    return yield* this.#sumOf(this.#leaves.get(leaf) ?? []);
  }

  /** Takes other gradients in the place of those of some leaves. */
  change(changes: ReadonlyMap<T, GradientOf<T>>): void {
    for (const [leaf, { gradient, replacesGrad }] of changes) {
      this.own(gradient);
      const before = this.#leaves.get(leaf) ?? [];
      this.#leaves.set(leaf, [{ gradient, order: 0 }]);
      before
        .filter((contribution) => contribution.gradient !== gradient)
        .forEach((contribution) => this.#drop(contribution.gradient));
      if (replacesGrad) {
        this.#replacing.add(leaf);
      }
    }
  }

  /** Runs a node's backward, unless no gradient has reached it, and frees the node. */
  *run(node: GraphNode<T>): Steps {
    const outputs = this.#waiting.get(node);
    if (outputs === undefined) {
      return;
    }
    const gradients: (T | null)[] = [];
    for (const contributions of outputs) {
      const hasSeveral = contributions !== undefined && contributions.length > 1;
      gradients.push(hasSeveral ? yield* this.#sumOf(contributions) : onlyOne(contributions));
    }
    this.#waiting.delete(node);
    // Nobody but the pass holds these, so the node may write its results over them.
    gradients.forEach((gradient) => gradient?.donate());
    const start = upcomingSerial();
    const running = node.run(gradients, this.#groups);
    if (running instanceof Promise && isSynchronous()) {
      refuseToWait(node, running, start);
    }
    const results = this.#claim(node, yield* settled(running), gradients, start);
    for (const gradient of gradients) {
      if (gradient !== null && !results.includes(gradient)) {
        this.#drop(gradient);
      }
    }
    const { edges } = node;
    // A generator is begun only where there is something to do: to begin one takes as long as the rest for a gradient.
    for (let i = 0; i < edges.length; i += 1) {
      const edge = edges[i] ?? null;
      const gradient = results[i] ?? null;
      if (gradient === null) {
        continue;
      }
      if (edge === null) {
        this.#drop(gradient);
        continue;
      }
      checkGradient(node, i, edge, gradient);
      const { device } = gradient.storage;
      if (!device.isReady) {
        yield* whenReady(device);
      }
      const contributions = this.deliver(edge, gradient);
      if (contributions !== null && contributions.length > 1) {
        yield* this.#sumOf(contributions);
      }
    }
    node.free();
  }

  /**
   * Adds the gradients of the leaves to their `grad`: all of them or, on failure, none. First it makes sure that the gradients, and
   * what they are added to, are there: a GPU says later that lent memory had gone. A synchronous pass cannot ask, so what it adds
   * is taken back when the GPU says so.
   */
  *commit(): Steps {
    const gradients = new Map<T, T>();
    for (const [leaf, contributions] of this.#leaves) {
      const gradient = contributions.length > 1 ? yield* this.#sumOf(contributions) : onlyOne(contributions);
      if (gradient !== null) {
        gradients.set(leaf, gradient);
      }
    }
    if (!isSynchronous()) {
      if (this.#groups.size > 0) {
        yield Promise.all(Array.from(this.#groups, (group) => group.confirm()));
      }
      for (const [leaf, { storage }] of gradients) {
        const grad = leaf.gradToAddTo;
        if (grad?.storage.isExposed === true) {
          const copy = yield* settled(copyTo(grad.storage, storage.device));
          copy.release();
        }
        const confirming = confirmation([storage]);
        if (confirming !== null) {
          yield confirming;
        }
      }
    }
    accumulateGrads(gradients, this.#owned, this.#replacing);
  }

  end(): void {
    this.#owned.forEach((gradient) => gradient.dispose());
  }

  /**
   * Takes over the results of a node. A tensor that the node made, or that the pass gave to it, is the pass's to dispose, and serves as
   * a gradient once. Of all others, such as one saved for several passes, returned for two inputs, or part of another graph, the pass
   * takes a handle of its own.
   */
  #claim(node: GraphNode<T>, results: Gradients<T>, given: Gradients<T>, start: number): Gradients<T> {
    if (results.length !== node.edges.length) {
      throw new RangeError(
        `backward of ${node.name}: expected ${node.edges.length} gradients, one per input and null where there is none, got ${results.length}`,
      );
    }
    return results.map((result, i) => {
      if (result === null) {
        return null;
      }
      const isNew = result.serial >= start || given.includes(result);
      if (isNew) {
        this.own(result);
      }
      const isClaimed = results.indexOf(result) < i;
      const gradient = isNew && !result.requiresGrad && !isClaimed ? result : result.detach();
      this.own(gradient);
      return gradient;
    });
  }

  /** The sum of what has come to one place, latest use first; `null` when nothing has. It takes the place of its terms. */
  *#sumOf(contributions: Contribution<T>[]): Steps<T | null> {
    contributions.sort((a, b) => b.order - a.order);
    for (let [sum, next] = contributions; sum !== undefined && next !== undefined; [sum, next] = contributions) {
      const [a, b] = [sum.gradient, next.gradient];
      const gradient = yield* settled(withRoom(() => a.plus(b)));
      this.own(gradient);
      contributions.splice(0, 2, { gradient, order: next.order });
      this.#drop(a);
      this.#drop(b);
    }
    return onlyOne(contributions);
  }

  #drop(gradient: T): void {
    this.#owned.delete(gradient);
    gradient.dispose();
  }
}

/** The gradient that has come to a place that at most one has come to. */
function onlyOne<T>(contributions: readonly Contribution<T>[] | undefined): T | null {
  return contributions?.[0]?.gradient ?? null;
}

/** @throws Error always: the node waits, and a synchronous pass cannot. What comes of the node is given back when it is there. */
function refuseToWait<T extends Differentiable<T>>(
  node: GraphNode<T>,
  running: Promise<Gradients<T>>,
  start: number,
): never {
  running.then(
    (late) =>
      late.forEach((gradient) => (gradient !== null && gradient.serial >= start ? gradient.dispose() : undefined)),
    () => undefined,
  );
  throw new Error(
    `backwardSync(): expected every operation of the graph to compute its gradients at once, but that of ${node.name} returns a promise; ` +
      `await backward() instead, after another forward`,
  );
}

/** The graph behind a tensor. */
interface Behind<T extends Differentiable<T>> {
  /** Latest first. */
  readonly nodes: readonly GraphNode<T>[];
  readonly leaves: ReadonlySet<T>;
  /**
   * Nodes and leaves whose gradients do not all come in the order of uses, since one that uses them runs before others that were called
   * after it.
   */
  readonly usedBefore: ReadonlySet<GraphNode<T> | T>;
}

function behind<T extends Differentiable<T>>(start: Edge<T>): Behind<T> {
  const nodes = new Set<GraphNode<T>>();
  const leaves = new Set<T>();
  const usedBefore = new Set<GraphNode<T> | T>();
  const open: Edge<T>[] = [start];
  for (let edge = open.pop(); edge !== undefined; edge = open.pop()) {
    const { target } = edge;
    if ('leaf' in target) {
      leaves.add(target.leaf);
    } else if (!nodes.has(target.node)) {
      const { node } = target;
      nodes.add(node);
      for (const next of node.edges) {
        if (next !== null) {
          open.push(next);
          if (next.order !== node.sequence) {
            usedBefore.add('leaf' in next.target ? next.target.leaf : next.target.node);
          }
        }
      }
    }
  }
  return { nodes: [...nodes].sort((a, b) => b.sequence - a.sequence), leaves, usedBefore };
}

function checkGradient<T extends Differentiable<T>>(
  node: GraphNode<T>,
  input: number,
  edge: Edge<T>,
  gradient: T,
): void {
  if (!sameShape(edge.shape, gradient.shape)) {
    throw new RangeError(
      `backward of ${node.name} returned an invalid gradient for input ${input}: expected shape ${formatShape(edge.shape)}, ` +
        `got ${formatShape(gradient.shape)}`,
    );
  }
  if (edge.device !== gradient.device) {
    throw new RangeError(
      `backward of ${node.name} returned an invalid gradient for input ${input}: expected it on device ${edge.device}, ` +
        `got it on ${gradient.device}`,
    );
  }
}
