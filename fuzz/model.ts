/** Modules made from their specifications, and the root that runs them stage by stage in a replica. */

import {
  type BatchNorm,
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  defineFunction,
  Module,
  Sequential,
  SynchronizedBatchNorm1d,
  SynchronizedBatchNorm2d,
  SynchronizedBatchNorm3d,
  tensor,
  type Tensor,
} from 'syncbn';
import { add, alike, scale } from '../tests/support/operations.ts';
import { randomArray } from '../tests/support/random.ts';
import type { ModuleSpec, NormOptions, Rank } from './program.ts';
import { croppedTo, elementsOf, put, shardsOf, take } from './shards.ts';

/** A module of one input and one output. */
export interface Unary extends Module {
  forward(x: Tensor): Promise<Tensor>;
}

/** What a replica does before a stage. */
export type Way = 'go' | 'skip' | 'twice';

/** What happens in the replicas of a model; shared by all of them. */
export interface Script {
  /** Called before stage `at`, and with the number of stages after the last. */
  happen(device: string, at: number): Promise<Way>;
  /** Size that the replica on a device cuts the last dimension down to; `null`: it stays as it is. */
  lengthOn(device: string): number | null;
  /** Called in the backward of each replica; `null`: no operation of the user stands at its end. */
  probe: ((device: string) => void) | null;
}

/** Nothing happens. */
export function quietScript(): Script {
  return { happen: () => Promise.resolve('go'), lengthOn: () => null, probe: null };
}

/** Where and how the layers of a model are made. */
export interface Making {
  readonly rank: Rank;
  readonly channels: number;
  readonly synchronized: boolean;
  readonly device: string;
}

const plainLayers = { 2: BatchNorm1d, 3: BatchNorm1d, 4: BatchNorm2d, 5: BatchNorm3d };
const synchronizedLayers = {
  2: SynchronizedBatchNorm1d,
  3: SynchronizedBatchNorm1d,
  4: SynchronizedBatchNorm2d,
  5: SynchronizedBatchNorm3d,
};

export function newLayer(options: NormOptions, { rank, channels, synchronized, device }: Making): BatchNorm {
  const { eps, momentum, affine, bias, trackRunningStats, numerics } = options;
  const shared = { eps, momentum, affine, bias, trackRunningStats, numerics, device };
  if (!synchronized) return new plainLayers[rank](channels, shared);
  return new synchronizedLayers[rank](channels, { ...shared, onTimeout: 'error', syncTimeout: 60 });
}

function build(spec: ModuleSpec, making: Making): Unary {
  switch (spec.kind) {
    case 'norm':
      return newLayer(spec, making);
    case 'sequence':
      return new Sequential(...spec.children.map((child) => build(child, making)));
    case 'residual':
      return new Residual(build(spec.child, making));
    case 'branches':
      return new Branches(build(spec.left, making), build(spec.right, making), spec.atOnce);
    case 'twice':
      return new Twice(build(spec.child, making));
    case 'scale':
      return new Scale(spec.factor);
    default:
      return spec satisfies never;
  }
}

/** The batch norm layers of a specification. */
export function normsOf(spec: ModuleSpec): readonly NormOptions[] {
  switch (spec.kind) {
    case 'norm':
      return [spec];
    case 'sequence':
      return spec.children.flatMap(normsOf);
    case 'residual':
    case 'twice':
      return normsOf(spec.child);
    case 'branches':
      return [...normsOf(spec.left), ...normsOf(spec.right)];
    case 'scale':
      return [];
    default:
      return spec satisfies never;
  }
}

/**
 * Whether the order of calls depends on which of two branches that run at once finishes first. Gradients that meet are summed in
 * that order.
 */
export function isRace(spec: ModuleSpec): boolean {
  switch (spec.kind) {
    case 'norm':
    case 'scale':
      return false;
    case 'sequence':
      return spec.children.some(isRace);
    case 'residual':
    case 'twice':
      return isRace(spec.child);
    case 'branches':
      return (
        isRace(spec.left) ||
        isRace(spec.right) ||
        (spec.atOnce && usesInputLater(spec.left) && usesInputLater(spec.right))
      );
    default:
      return spec satisfies never;
  }
}

/** Whether a module needs its input again after the first of its layers has finished. */
function usesInputLater(spec: ModuleSpec): boolean {
  switch (spec.kind) {
    case 'norm':
    case 'scale':
      return false;
    case 'sequence':
      return spec.children[0] !== undefined && usesInputLater(spec.children[0]);
    case 'twice':
      return usesInputLater(spec.child);
    case 'residual':
      return true;
    case 'branches':
      return !spec.atOnce || usesInputLater(spec.left) || usesInputLater(spec.right);
    default:
      return spec satisfies never;
  }
}

class Residual extends Module implements Unary {
  readonly child: Unary;

  constructor(child: Unary) {
    super();
    this.child = child;
  }

  async forward(x: Tensor): Promise<Tensor> {
    return sumOf(x, await this.child.forward(x));
  }
}

class Branches extends Module implements Unary {
  readonly left: Unary;
  readonly right: Unary;
  private readonly atOnce: boolean;

  constructor(left: Unary, right: Unary, atOnce: boolean) {
    super();
    this.left = left;
    this.right = right;
    this.atOnce = atOnce;
  }

  async forward(x: Tensor): Promise<Tensor> {
    const left = this.left.forward(x);
    const right = this.atOnce ? this.right.forward(x) : left.then(() => this.right.forward(x));
    const [first, second] = await Promise.allSettled([left, right]);
    if (first.status === 'fulfilled' && second.status === 'fulfilled') {
      const result = await sumOf(first.value, second.value, true);
      return result;
    }
    [first, second].forEach((one) => one.status === 'fulfilled' && one.value.dispose());
    throw first.status === 'rejected' ? first.reason : second.status === 'rejected' ? second.reason : null;
  }
}

/** Of two tensors, of which the second, or both, are given up. */
async function sumOf(a: Tensor, b: Tensor, both = false): Promise<Tensor> {
  try {
    return await add(a, b);
  } finally {
    b.dispose();
    if (both) a.dispose();
  }
}

class Twice extends Module implements Unary {
  readonly child: Unary;

  constructor(child: Unary) {
    super();
    this.child = child;
  }

  async forward(x: Tensor): Promise<Tensor> {
    const between = await this.child.forward(x);
    try {
      return await this.child.forward(between);
    } finally {
      between.dispose();
    }
  }
}

class Scale extends Module implements Unary {
  private readonly factor: number;

  constructor(factor: number) {
    super();
    this.factor = factor;
  }

  forward(x: Tensor): Promise<Tensor> {
    return scale(x, this.factor);
  }
}

/** The root of a model: its children are the stages, and the script tells what happens around them. */
export class Staged extends Module implements Unary {
  /** Exchanged before each forward: a replica that is still under way keeps that of its own. */
  script: Script = quietScript();

  constructor(stages: readonly ModuleSpec[], making: Making) {
    super();
    Object.assign(this, Object.fromEntries(stages.map((stage, i) => [`stage${i}`, build(stage, making)])));
  }

  async forward(x: Tensor): Promise<Tensor> {
    const { device } = x;
    const whole = x.shape.at(-1) ?? 0;
    const { script } = this;
    const { probe } = script;
    const length = script.lengthOn(device);
    const chain: ((input: Tensor) => Promise<Tensor>)[] = [
      ...(length === null ? [] : [(input: Tensor) => crop(input, length)]),
      ...this.stages().map((stage, i) => (input: Tensor) => run(stage, script, i, input)),
      ...(length === null ? [] : [(input: Tensor) => pad(input, whole)]),
      ...(probe === null ? [] : [(input: Tensor) => probing(input, () => probe(device))]),
    ];
    let current = x;
    try {
      for (const link of chain) {
        const next = await link(current);
        if (current !== x && current !== next) current.dispose();
        current = next;
      }
      await script.happen(device, this.stages().length);
      return current;
    } catch (error) {
      if (current !== x) current.dispose();
      throw error;
    }
  }

  private stages(): Unary[] {
    return [...this.children()] as Unary[];
  }
}

async function run(stage: Unary, script: Script, i: number, x: Tensor): Promise<Tensor> {
  const way = await script.happen(x.device, i);
  if (way === 'skip') return x;
  const once = await stage.forward(x);
  if (way === 'go') return once;
  try {
    return await stage.forward(once);
  } finally {
    once.dispose();
  }
}

/** Cuts the last dimension down. */
const crop = defineFunction({
  name: 'crop',
  forward: async (context, x: Tensor, length: number) => {
    context.attributes['shape'] = x.shape;
    const part = croppedPart(x.shape, length);
    return tensor(take(await x.data(), part), part.shape, placeOf(x));
  },
  backward: async (context, dy) => {
    const shape = context.attributes['shape'] as readonly number[];
    const dx = new Float32Array(elementsOf(shape));
    put(dx, croppedPart(shape, dy.shape.at(-1) ?? 0), await dy.data());
    return [tensor(dx, shape, placeOf(dy)), null];
  },
});

/** Fills the last dimension up with zeros. */
const pad = defineFunction({
  name: 'pad',
  forward: async (context, x: Tensor, length: number) => {
    context.attributes['length'] = x.shape.at(-1);
    const shape = [...x.shape.slice(0, -1), length];
    const y = new Float32Array(elementsOf(shape));
    put(y, croppedPart(shape, x.shape.at(-1) ?? 0), await x.data());
    return tensor(y, shape, placeOf(x));
  },
  backward: async (context, dy) => {
    const part = croppedPart(dy.shape, context.attributes['length'] as number);
    return [tensor(take(await dy.data(), part), part.shape, placeOf(dy)), null];
  },
});

function placeOf({ device, memoryFormat }: Tensor): Pick<Tensor, 'device' | 'memoryFormat'> {
  return { device, memoryFormat };
}

function croppedPart(
  shape: readonly number[],
  length: number,
): { shape: readonly number[]; positions: readonly number[] } {
  const [part] = shardsOf(shape, 0, 1, [croppedTo(length, shape.at(-1) ?? 0)]);
  if (part === undefined) throw new RangeError('expected one part');
  return part;
}

/** The identity; its backward calls `run` first. */
const probing = defineFunction({
  name: 'probe',
  forward: async (context, x: Tensor, run: () => void) => {
    context.attributes['run'] = run;
    return alike(x, await x.data());
  },
  backward: async (context, dy) => {
    (context.attributes['run'] as () => void)();
    return [alike(dy, await dy.data()), null];
  },
});

/** The batch norm layers of a model, in its own order. */
export function layersOf(model: Module): BatchNorm[] {
  const isLayer = (module: Module): module is BatchNorm =>
    [BatchNorm1d, BatchNorm2d, BatchNorm3d].some((Layer) => module instanceof Layer);
  return [...model.modules()].filter(isLayer);
}

/** Gives the parameters and running statistics values that no symmetry hides. */
export async function randomizeState(model: Module, seed: number): Promise<void> {
  let number = seed;
  for (const [name, item] of [...model.namedParameters(), ...model.namedBuffers()]) {
    const isVariance = name.endsWith('running_var');
    const values = randomArray(number++, elementsOf(item.shape), {
      distribution: isVariance ? 'uniform' : 'normal',
      offset: isVariance || name.endsWith('weight') ? 0.5 : 0,
    });
    await item.copy_(values);
  }
}

/** Everything that must be as if no step had ever failed, by name. */
export async function stateOf(model: Module): Promise<Map<string, ArrayLike<number>>> {
  const state = new Map<string, ArrayLike<number> | Promise<ArrayLike<number>>>();
  for (const [name, buffer] of model.namedBuffers()) state.set(name, buffer.data());
  for (const [name, parameter] of model.namedParameters()) {
    state.set(name, parameter.data());
    state.set(`${name}.grad`, parameter.grad === null ? [] : parameter.grad.data());
  }
  for (const [i, layer] of layersOf(model).entries()) state.set(`counter ${i}`, [layer.numBatchesTracked ?? -1]);
  const entries = await Promise.all([...state].map(async ([name, values]) => [name, await values] as const));
  return new Map(entries);
}

/** Gives back all that a model holds. */
export function disposeModel(model: Module): void {
  [...model.parameters(), ...model.buffers()].forEach((item) => item.dispose());
}
