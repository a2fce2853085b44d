/** The weights of a model of tf.layers as parameters and batch norms of the library. */

import type { LayerVariable, LayersModel } from '@tensorflow/tfjs-layers';
import { BatchNorm1d, FrozenBatchNorm1d, Module, ModuleDict, Parameter, tensor, type Tensor } from '../index.ts';
import { type Graph, isBatchNorm, type Layer, type NamedLayer } from './graph.ts';
import { present } from './present.ts';

/** A layer of tfjs that is no batch norm: its weights, under their names in tfjs, such as `kernel`. Its model calls it. */
export class LayerWeights extends Module {
  static readonly typeName: string = 'LayerWeights';

  /** @throws Error always: it is computed as part of its model. */
  override forward(): never {
    throw new Error('a layer of TensorFlow.js has no forward() of its own here; call its model');
  }
}

/** Where a weight of tfjs is among the modules. */
export interface Place {
  readonly layer: Layer;
  readonly variable: LayerVariable;
  /** Of its module, from the modules of the model. */
  readonly path: readonly string[];
  /** Of the module: a parameter or a buffer. */
  readonly property: string;
}

/** Batch norm as tfjs has it. */
interface BatchNormLayer extends Layer {
  readonly epsilon: number;
  readonly momentum: number;
  readonly gamma?: LayerVariable | null;
  readonly beta?: LayerVariable | null;
  readonly movingMean: LayerVariable;
  readonly movingVariance: LayerVariable;
}

/** A class, for a list in a module is searched for modules. */
export class Places {
  readonly all: readonly Place[];
  readonly #byLayer = new Map<Layer, Place[]>();

  constructor(all: readonly Place[]) {
    this.all = all;
    for (const place of all) {
      const known = this.#byLayer.get(place.layer);
      if (known === undefined) {
        this.#byLayer.set(place.layer, [place]);
      } else {
        known.push(place);
      }
    }
  }

  /** Those of a layer, in tfjs' order. */
  of(layer: Layer): readonly Place[] {
    return this.#byLayer.get(layer) ?? [];
  }
}

/**
 * Makes modules with the weights of a model.
 * @returns `layers`: the modules under the names of the layers, those of a nested model in a dictionary under its name.
 */
export function adoptWeights(model: LayersModel, graph: Graph, device: string): { layers: ModuleDict; places: Places } {
  const layers = new ModuleDict();
  const places: Place[] = [];
  const trained = new Set(model.trainableWeights);
  for (const named of graph.layers) {
    const [parent, path] = parentOf(layers, named);
    const name = freeName(parent, named.layer.name);
    const adopted = isBatchNorm(named.layer)
      ? adoptBatchNorm(named.layer as BatchNormLayer, named.isFrozen, device)
      : adoptOthers(named.layer, trained, device);
    parent.set(name, adopted.module);
    places.push(
      ...adopted.weights.map(([property, variable]) => ({
        layer: named.layer,
        variable,
        path: [...path, name],
        property,
      })),
    );
  }
  return { layers, places: new Places(places) };
}

/** The module at the end of a path. */
export function moduleAt(root: Module, path: readonly string[]): Module {
  // A dictionary holds its modules as properties; `get()` would list them all.
  return path.reduce((module, name) => (module as unknown as Readonly<Record<string, Module>>)[name] ?? module, root);
}

/** The tensor of a place. */
export function tensorAt(root: Module, { path, property }: Place): Tensor {
  return present(
    (moduleAt(root, path) as unknown as Readonly<Record<string, Tensor>>)[property],
    `the weight ${property}`,
  );
}

interface Adopted {
  readonly module: Module;
  readonly weights: readonly (readonly [property: string, variable: LayerVariable])[];
}

function adoptOthers(layer: Layer, trained: ReadonlySet<LayerVariable>, device: string): Adopted {
  const module = new LayerWeights();
  const names = shortNames(layer.weights.map(({ originalName }) => originalName));
  const weights = layer.weights.map((variable, i) => {
    const property = freeProperty(module, names[i] ?? variable.name);
    Object.assign(module, { [property]: new Parameter(copyOf(variable, device), trained.has(variable)) });
    return [property, variable] as const;
  });
  return { module, weights };
}

/**
 * With Keras' momentum, which is the weight of the old value, and its biased variance. As in Keras a batch norm that is not trained normalizes with its
 * moving averages.
 */
function adoptBatchNorm(layer: BatchNormLayer, isFrozen: boolean, device: string): Adopted {
  const { epsilon: eps, momentum, gamma, beta, movingMean, movingVariance } = layer;
  const [channels = 0] = movingMean.shape as number[];
  const [weight, bias] = [gamma ?? null, beta ?? null];
  const module = isFrozen
    ? new FrozenBatchNorm1d(channels, { eps, device })
    : new BatchNorm1d(channels, {
        ...{ eps, momentum: 1 - momentum, affine: weight !== null || bias !== null },
        ...{ weight: weight !== null, bias: bias !== null, runningVar: 'biased', device },
      });
  const weights: (readonly [property: 'weight' | 'bias' | 'runningMean' | 'runningVar', variable: LayerVariable])[] = [
    ...(weight === null ? [] : ([['weight', weight]] as const)),
    ...(bias === null ? [] : ([['bias', bias]] as const)),
    ['runningMean', movingMean],
    ['runningVar', movingVariance],
  ];
  for (const [property, variable] of weights) {
    const values = copyOf(variable, device);
    const isParameter = module[property] instanceof Parameter;
    Object.assign(module, { [property]: isParameter ? new Parameter(values, variable.trainable) : values });
  }
  return { module, weights };
}

function copyOf(variable: LayerVariable, device: string): Tensor {
  return tensor(variable.read().dataSync() as Float32Array, variable.shape as number[], { device });
}

/** The dictionary of the nested model that a layer is in. */
function parentOf(root: ModuleDict, { path }: NamedLayer): [parent: ModuleDict, path: readonly string[]] {
  let parent = root;
  const names: string[] = [];
  for (const model of path.slice(0, -1)) {
    const name = nameIn(parent, model);
    const known = parent.has(name) ? parent.get(name) : null;
    const next = isDictionary(known) ? known : new ModuleDict();
    parent.set(name, next);
    names.push(name);
    parent = next;
  }
  return [parent, names];
}

function isDictionary(module: Module | null): module is ModuleDict {
  return module instanceof ModuleDict;
}

/** The end of each path that tells it from the others: `kernel`, or `forward/kernel` as `forward_kernel`. */
function shortNames(paths: readonly string[]): readonly string[] {
  const parts = paths.map((path) => path.split('/'));
  const longest = Math.max(0, ...parts.map(({ length }) => length));
  for (let count = 1; count <= longest; count += 1) {
    const names = parts.map((names) => names.slice(-count).join('_'));
    if (new Set(names).size === names.length) {
      return names;
    }
  }
  return paths.map((_, i) => `weight_${i}`);
}

/** A name that a module can have there: without dots, and not that of a method. */
function nameIn(parent: ModuleDict, name: string): string {
  const plain = name.replaceAll('.', '_');
  return plain in parent && !parent.has(plain) ? `${plain}_` : plain;
}

function freeName(parent: ModuleDict, name: string): string {
  let free = nameIn(parent, name);
  while (parent.has(free)) {
    free = `${free}_`;
  }
  return free;
}

function freeProperty(module: Module, name: string): string {
  return name in module ? `${name}_` : name;
}
