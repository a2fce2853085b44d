/**
 * The backward pass: nodes run one after another in reverse order of creation, gradients that meet are summed in that
 * order, and gradients reach the leaves only when every node has succeeded.
 */

import type { Edge, Gradients, GraphNode } from './graph_node.ts';
import { untrack } from './scope.ts';
import { formatShape, sameShape } from './shape.ts';
import type { Tensor } from './tensor.ts';

/**
 * Runs the graph behind a tensor.
 * @param start - where the tensor came from.
 * @param dy - its gradient; belongs to the pass from now on.
 */
export async function runBackward(start: Edge, dy: Tensor): Promise<void> {
  const pass = new BackwardPass();
  try {
    const nodes = nodesBehind(start);
    nodes.forEach((node) => node.checkAlive());
    pass.own(dy);
    await pass.deliver(start, dy);
    for (const node of nodes) {
      await pass.run(node);
    }
    await pass.commit();
  } finally {
    pass.end();
  }
}

/** The gradients of one backward pass on their way. Every tensor in here belongs to the pass. */
class BackwardPass {
  readonly #waiting = new Map<GraphNode, (Tensor | null)[]>();
  readonly #leaves = new Map<Tensor, Tensor>();
  readonly #owned = new Set<Tensor>();

  own(gradient: Tensor): void {
    untrack(gradient);
    this.#owned.add(gradient);
  }

  /** Brings a gradient to its place and sums it with what is there. */
  async deliver(edge: Edge, gradient: Tensor): Promise<void> {
    if ('leaf' in edge.target) {
      const { leaf } = edge.target;
      this.#leaves.set(leaf, await this.#sum(this.#leaves.get(leaf) ?? null, gradient));
      return;
    }
    const { node, index } = edge.target;
    const slots = this.#waiting.get(node) ?? [];
    this.#waiting.set(node, slots);
    slots[index] = await this.#sum(slots[index] ?? null, gradient);
  }

  /** Runs a node's backward, unless no gradient has reached it, and frees the node. */
  async run(node: GraphNode): Promise<void> {
    const slots = this.#waiting.get(node);
    if (slots === undefined) {
      return;
    }
    this.#waiting.delete(node);
    const gradients = Array.from(slots, (gradient) => gradient ?? null);
    // Nobody but the pass holds these, so the node may write its results over them.
    gradients.forEach((gradient) => gradient?.donate());
    const results = this.#claim(await node.run(gradients));
    const { edges } = node;
    if (results.length !== edges.length) {
      throw new RangeError(
        `backward of ${node.name}: expected ${edges.length} gradients, one per input and null where there is none, got ${results.length}`,
      );
    }
    gradients.forEach((gradient) => {
      if (gradient !== null && !results.includes(gradient)) {
        this.#drop(gradient);
      }
    });
    for (const [i, edge] of edges.entries()) {
      const gradient = results[i] ?? null;
      if (gradient === null) {
        continue;
      }
      if (edge === null) {
        this.#drop(gradient);
        continue;
      }
      checkGradient(node, i, edge, gradient);
      await this.deliver(edge, gradient);
    }
    node.free();
  }

  /** Adds the gradients of the leaves to their `grad`. */
  async commit(): Promise<void> {
    for (const [leaf, gradient] of this.#leaves) {
      if (leaf.grad === null) {
        this.#owned.delete(gradient);
        leaf.grad = gradient.undonated();
      } else {
        await leaf.grad.accumulate(gradient);
      }
    }
  }

  end(): void {
    this.#owned.forEach((gradient) => gradient.dispose());
  }

  /** Takes over the results of a node. One tensor may be the gradient of several inputs; each needs its own handle. */
  #claim(results: Gradients): Gradients {
    const seen = new Set<Tensor>();
    return results.map((result) => {
      if (result === null || result === undefined) {
        return null;
      }
      const gradient = seen.has(result) ? result.detach() : result;
      seen.add(gradient);
      this.own(gradient);
      return gradient;
    });
  }

  async #sum(sum: Tensor | null, gradient: Tensor): Promise<Tensor> {
    if (sum === null) {
      return gradient;
    }
    const total = await sum.plus(gradient);
    this.own(total);
    this.#drop(sum);
    this.#drop(gradient);
    return total;
  }

  #drop(gradient: Tensor): void {
    this.#owned.delete(gradient);
    gradient.dispose();
  }
}

/** Every node that the start leads to, latest first. */
function nodesBehind(start: Edge): GraphNode[] {
  const found = new Set<GraphNode>();
  const open: Edge[] = [start];
  for (let edge = open.pop(); edge !== undefined; edge = open.pop()) {
    if ('node' in edge.target && !found.has(edge.target.node)) {
      found.add(edge.target.node);
      open.push(...edge.target.node.edges.filter((next) => next !== null));
    }
  }
  return [...found].sort((a, b) => b.sequence - a.sequence);
}

function checkGradient(node: GraphNode, input: number, edge: Edge, gradient: Tensor): void {
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
