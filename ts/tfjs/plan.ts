/** How a model is computed: its batch norms are modules of the library, and all that lies between them are functions of tfjs. */

import { type Graph, isBatchNorm, type Layer, type Value, type Vertex } from './graph.ts';

/** A batch norm. */
export interface BatchNormStep {
  readonly kind: 'batch norm';
  readonly layer: Layer;
  readonly input: Value;
  readonly output: Value;
  /** The dimension of the channels, from 0. */
  readonly axis: number;
  /** Values that nobody needs after the step. */
  readonly spent: readonly Value[];
}

/** Everything between two batch norms, as one function of tfjs. */
export interface SegmentStep {
  readonly kind: 'segment';
  /** Names the function in errors. */
  readonly name: string;
  /** In the order of their calls. */
  readonly calls: readonly Vertex[];
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  /** Those with weights, each once. */
  readonly layers: readonly Layer[];
  readonly spent: readonly Value[];
}

export type Step = BatchNormStep | SegmentStep;

/** A class, for a plain object in a module is searched for modules. */
export class Plan {
  readonly steps: readonly Step[];
  readonly sources: readonly Value[];
  readonly results: readonly Value[];

  /** Segment k is what has k batch norms before it, so no segment needs a later one. */
  constructor({ vertices, sources, results }: Graph) {
    this.sources = sources;
    this.results = results;
    const depth = Math.max(0, ...vertices.map(({ level }) => level));
    const steps = Array.from({ length: depth + 1 }, (_, level) => level).flatMap((level) =>
      stepsOf(
        vertices.filter((vertex) => vertex.level === level && vertex.inputs.length > 0),
        vertices,
        results,
      ),
    );
    // The inputs are the caller's.
    this.steps = withSpent(steps, [...sources, ...results]);
  }
}

type Unfinished<S extends Step> = S extends Step ? Omit<S, 'spent'> : never;

/** The batch norms of one level, and then the rest of it. */
function stepsOf(level: readonly Vertex[], all: readonly Vertex[], results: readonly Value[]): Unfinished<Step>[] {
  const calls = level.filter(({ layer }) => !isBatchNorm(layer));
  const steps: Unfinished<Step>[] = level.filter(({ layer }) => isBatchNorm(layer)).map(batchNormStep);
  if (calls.length > 0) {
    const made = new Set(calls.flatMap(({ outputs }) => outputs));
    const needed = new Set(calls.flatMap(({ inputs }) => inputs));
    const neededLater = new Set(all.filter((vertex) => !calls.includes(vertex)).flatMap(({ inputs }) => inputs));
    const [first, last] = [calls[0]?.layer.name ?? '', calls.at(-1)?.layer.name ?? ''];
    steps.push({
      kind: 'segment',
      name: calls.length === 1 ? first : `${first} … ${last}`,
      calls,
      inputs: [...needed].filter((value) => !made.has(value)),
      outputs: [...made].filter((value) => neededLater.has(value) || results.includes(value)),
      layers: [...new Set(calls.map(({ layer }) => layer))].filter(({ weights }) => weights.length > 0),
    });
  }
  return steps;
}

function batchNormStep({ layer, inputs, outputs, inputShape }: Vertex): Unfinished<BatchNormStep> {
  const [[input], [output]] = [inputs, outputs];
  if (input === undefined || output === undefined) {
    throw new TypeError(`${layer.name}: expected a batch norm with one input and one output`);
  }
  return { kind: 'batch norm', layer, input, output, axis: axisOf(layer, inputShape.length) };
}

/** The dimension of the channels of a batch norm, from 0. */
export function axisOf(layer: Layer, rank: number): number {
  // Files that newer versions of Keras have written have a list of one.
  const axis = Number((layer as Layer & { readonly axis: unknown }).axis);
  return axis < 0 ? axis + rank : axis;
}

/** @param kept - are never spent. */
function withSpent(steps: readonly Unfinished<Step>[], kept: readonly Value[]): Step[] {
  const needed = new Set(kept);
  const spentOf = (step: Unfinished<Step>): Value[] => {
    const inputs = step.kind === 'segment' ? step.inputs : [step.input];
    const spent = inputs.filter((value) => !needed.has(value));
    inputs.forEach((value) => needed.add(value));
    return spent;
  };
  // From the last to the first: what no later step needs is spent.
  const spent = [...steps].reverse().map(spentOf).reverse();
  return steps.map((step, i): Step => ({ ...step, spent: spent[i] ?? [] }));
}
