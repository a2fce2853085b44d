/** Layers of tfjs that cannot be spread over devices, or whose batch norms nobody would synchronize. */

import { type Graph, isBatchNorm, type Layer } from './graph.ts';
import { axisOf } from './plan.ts';

/** Where layers keep others that are not part of the graph. */
interface Nesting {
  readonly layer?: Layer;
  readonly forwardLayer?: Layer;
  readonly backwardLayer?: Layer;
  readonly cell?: Layer;
  readonly cells?: readonly Layer[];
  readonly layers?: readonly Layer[];
}

/**
 * Looks at all layers before anything is computed.
 * @throws TypeError or RangeError naming the first that is refused.
 */
export function refuseLayers({ vertices }: Graph): void {
  for (const { layer, inputShape } of vertices) {
    const what = `fromLayersModel(): the layer ${layer.name} (${layer.getClassName()})`;
    if (layer.stateful) {
      throw new TypeError(
        `${what} is stateful: it keeps a state per sample from batch to batch, which replicas with shares of each batch cannot; make it with stateful: false`,
      );
    }
    const hidden = nestedIn(layer).find(isBatchNorm);
    if (hidden !== undefined) {
      throw new TypeError(
        `${what} has the batch norm ${hidden.name} inside, which could not be synchronized there; put the batch norm beside it as a layer of the model, ` +
          `which normalizes the last axis of inputs of any rank`,
      );
    }
    if (isBatchNorm(layer)) {
      const [axis, rank] = [axisOf(layer, inputShape.length), inputShape.length];
      if (!Number.isInteger(axis) || axis < 1 || axis >= rank) {
        throw new RangeError(
          `${what}: expected an axis of channels between 1 and ${rank - 1}, since axis 0 is the batch, got ${axis}`,
        );
      }
    }
  }
}

/** All layers inside of one, at any depth. */
function nestedIn(layer: Layer): Layer[] {
  const { layer: wrapped, forwardLayer, backwardLayer, cell, cells = [], layers = [] } = layer as unknown as Nesting;
  const inner = [wrapped, forwardLayer, backwardLayer, cell, ...cells, ...layers];
  return inner.filter((item) => item !== undefined).flatMap((item) => [item, ...nestedIn(item)]);
}
