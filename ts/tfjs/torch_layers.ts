/** The layers of a model that have weights. */

import type { LayersModel, LayerVariable } from '@tensorflow/tfjs-layers';

type Layer = LayersModel['layers'][number];

/** A layer that has weights. */
export interface WeightedLayer {
  readonly layer: Layer;
  /** Its name, after those of the nested models that it is in: `backbone/conv1`. */
  readonly path: string;
  /** Under their names without that of the layer: `kernel`. */
  readonly weights: readonly { readonly name: string; readonly variable: LayerVariable }[];
  /** Shape of the images, without the batch, that its input was flattened from; `null` where it was not. */
  readonly flattenedFrom: readonly number[] | null;
}

/** All layers with weights, each once, those of nested models too. */
export function layersWithWeights(model: Pick<LayersModel, 'layers'>): readonly WeightedLayer[] {
  const found = new Map<Layer, WeightedLayer>();
  const visit = ({ layers }: Pick<LayersModel, 'layers'>, parents: readonly string[]): void => {
    for (const layer of layers) {
      const path = [...parents, layer.name];
      const nested = layer as Partial<Pick<LayersModel, 'layers'>>;
      if (Array.isArray(nested.layers)) {
        visit({ layers: nested.layers }, path);
      } else if (layer.weights.length > 0 && !found.has(layer)) {
        const weights = layer.weights.map((variable) => ({ name: nameOf(variable), variable }));
        found.set(layer, { layer, path: path.join('/'), weights, flattenedFrom: flattenedImages(layer) });
      }
    }
  };
  visit(model, []);
  return [...found.values()];
}

function nameOf({ originalName }: LayerVariable): string {
  return originalName.slice(originalName.lastIndexOf('/') + 1);
}

/** Looks back from a dense layer, over layers that leave the order of values alone, for a `flatten` that puts values in another order than PyTorch's. */
function flattenedImages(layer: Layer): readonly number[] | null {
  if (layer.getClassName() !== 'Dense') {
    return null;
  }
  let before = layerBefore(layer);
  while (before !== undefined && keepsOrder.has(before.getClassName())) {
    before = layerBefore(before);
  }
  if (before?.getClassName() !== 'Flatten') {
    return null;
  }
  const [, ...sizes] = before.inboundNodes[0]?.inputShapes[0] as number[];
  if (dataFormatOf(before) === 'channelsFirst') {
    // The layer itself puts channels last before it flattens.
    return [...sizes.slice(1), ...sizes.slice(0, 1)];
  }
  return sizes.length > 1 && !hasChannelsFirst(before) ? sizes : null;
}

/** Whether the nearest layer before that has an order of dimensions has the channels first, as PyTorch has. */
function hasChannelsFirst(layer: Layer): boolean {
  let at = layerBefore(layer);
  while (at !== undefined && dataFormatOf(at) === undefined) {
    at = layerBefore(at);
  }
  return at !== undefined && dataFormatOf(at) === 'channelsFirst';
}

function dataFormatOf(layer: Layer): string | undefined {
  return (layer as unknown as { readonly dataFormat?: string }).dataFormat;
}

/** The layer that gives the first input. */
function layerBefore(layer: Layer): Layer | undefined {
  return layer.inboundNodes[0]?.inboundLayers[0];
}

const keepsOrder: ReadonlySet<string> = new Set([
  'Dropout',
  'GaussianNoise',
  'GaussianDropout',
  'AlphaDropout',
  'Activation',
  'ReLU',
  'LeakyReLU',
  'ELU',
  'Softmax',
  'InputLayer',
]);
