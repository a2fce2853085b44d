/** The calls of layers that make up a model of tf.layers, with nested models taken apart. */

import type { layers, LayersModel, SymbolicTensor } from '@tensorflow/tfjs-layers';

/** A layer of tfjs. */
export type Layer = layers.Layer;

/** One output of one call: what flows between layers. */
export interface Value {
  readonly vertex: Vertex;
}

/** One call of a layer; a layer that is shared has several. */
export interface Vertex {
  readonly layer: Layer;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  /** Of the first input, in tfjs' order of dimensions, the batch first; `null` where a size is not known. */
  readonly inputShape: readonly (number | null)[];
  /** Batch norms on the longest way here, this one included. */
  readonly level: number;
}

/** A layer that is no model, by the names of the models it is in and its own. */
export interface NamedLayer {
  readonly path: readonly string[];
  readonly layer: Layer;
  /** Whether the layer, or a model that it is in, is not to be trained. */
  readonly isFrozen: boolean;
}

/** What a model computes. */
export interface Graph {
  /** Parents first. */
  readonly vertices: readonly Vertex[];
  /** Of the inputs of the model, in its order. */
  readonly sources: readonly Value[];
  /** Of its outputs, likewise; the same value may stand there twice. */
  readonly results: readonly Value[];
  /** Those with weights, each once. */
  readonly layers: readonly NamedLayer[];
}

/** A model, or a layer that is one. */
interface ModelLike extends Layer {
  readonly layers: readonly Layer[];
  readonly inputs: readonly SymbolicTensor[];
  readonly outputs: readonly SymbolicTensor[];
}

export function isBatchNorm(layer: Layer): boolean {
  return layer.getClassName() === 'BatchNormalization';
}

function isModel(layer: Layer): layer is ModelLike {
  const { layers, inputs, outputs } = layer as Partial<ModelLike>;
  return Array.isArray(layers) && Array.isArray(inputs) && Array.isArray(outputs);
}

/**
 * Follows the symbolic tensors of a model from its outputs to its inputs.
 * @throws TypeError for a model that has not been built.
 */
export function traceGraph(model: LayersModel): Graph {
  // The types say that there are some, which a Sequential without shapes does not have.
  const { inputs, outputs } = model as { readonly inputs?: SymbolicTensor[]; readonly outputs?: SymbolicTensor[] };
  if (inputs === undefined || outputs === undefined || outputs.length === 0) {
    throw new TypeError(
      `${model.name}: expected a model whose shapes are known, got one that has not been built; give its first layer an inputShape`,
    );
  }
  const vertices: Vertex[] = [];
  const addCall = (layer: Layer, call: Pick<Vertex, 'inputs' | 'inputShape'>, count: number): Vertex => {
    const level = Math.max(0, ...call.inputs.map(({ vertex }) => vertex.level)) + (isBatchNorm(layer) ? 1 : 0);
    const outputs: Value[] = [];
    const vertex: Vertex = { ...call, layer, level, outputs };
    outputs.push(...Array.from({ length: count }, () => ({ vertex })));
    vertices.push(vertex);
    return vertex;
  };
  /** @param given - the values of the symbolic inputs of the model that the tensors belong to, by id. */
  const resolver = (given: ReadonlyMap<number, Value>): ((symbol: SymbolicTensor) => Value) => {
    const known = new Map<unknown, readonly Value[]>();
    const resolve = (symbol: SymbolicTensor): Value => {
      const { sourceLayer: layer, nodeIndex, tensorIndex } = symbol;
      const node = layer.inboundNodes[nodeIndex];
      const own = given.get(symbol.id);
      if (own !== undefined || node === undefined) {
        return own ?? missing(symbol);
      }
      let values = known.get(node);
      if (values === undefined) {
        // From the last to the first, as tfjs: calls of a shared batch norm update its moving averages in turn.
        const parts = [...node.inputTensors].reverse().map(resolve).reverse();
        if (isModel(layer)) {
          const inner = new Map(layer.inputs.map((input, i) => [input.id, parts[i] ?? missing(input)]));
          values = layer.outputs.map(resolver(inner));
        } else {
          const [first] = node.inputTensors;
          const call = { inputs: parts, inputShape: first?.shape ?? [] };
          values = addCall(layer, call, node.outputTensors.length).outputs;
        }
        known.set(node, values);
      }
      return values[tensorIndex] ?? missing(symbol);
    };
    return resolve;
  };
  const sources = inputs.map((input) => {
    const { outputs } = addCall(input.sourceLayer, { inputs: [], inputShape: input.shape }, 1);
    return outputs[0] ?? missing(input);
  });
  const given = new Map(inputs.map((input, i) => [input.id, sources[i] ?? missing(input)]));
  const results = outputs.map(resolver(given));
  return { vertices, sources, results, layers: namedLayers(model).filter(({ layer }) => layer.weights.length > 0) };
}

/** The layers of a model and of the models in it, each once, by the first way to it. */
function namedLayers(model: LayersModel): NamedLayer[] {
  const found = new Map<Layer, NamedLayer>();
  const visit = (parent: Pick<ModelLike, 'layers'>, path: readonly string[], isFrozen: boolean): void => {
    for (const layer of parent.layers) {
      const named = { layer, path: [...path, layer.name], isFrozen: isFrozen || !layer.trainable };
      if (isModel(layer)) {
        visit(layer, named.path, named.isFrozen);
      } else if (!found.has(layer)) {
        found.set(layer, named);
      }
    }
  };
  visit(model, [], !model.trainable);
  return [...found.values()];
}

function missing(symbol: SymbolicTensor): never {
  throw new Error(`${symbol.name}: expected a tensor of the model, got one that none of its layers computes`);
}
