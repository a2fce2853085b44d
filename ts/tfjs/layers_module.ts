/** Models of tf.layers as modules of the library. */

import * as tf from '@tensorflow/tfjs-core';
import type { LayerVariable, LayersModel } from '@tensorflow/tfjs-layers';
import { Module, type ModuleDict, reportToOriginal, Tensor } from '../index.ts';
import { Flow } from './flow.ts';
import { traceGraph } from './graph.ts';
import { adoptWeights, moduleAt, type Places, tensorAt } from './layer_weights.ts';
import { type BatchNormStep, Plan, type SegmentStep } from './plan.ts';
import { present } from './present.ts';
import { refuseLayers } from './refused_layers.ts';
import { seenAs } from './seen.ts';
import { runSegment } from './segment.ts';

/** Options of {@link fromLayersModel}. */
export interface FromLayersModelOptions {
  /** Where the parameters are made; default `'cpu'`. */
  readonly device?: string;
}

/**
 * A model of tf.layers as a module: its batch norms are layers of the library, which `convertModel()` synchronizes, and all that lies between them
 * is computed by tfjs. Made by {@link fromLayersModel}.
 *
 * Its state is a copy of the model's, under the names of the layers: `layers.conv1.kernel`, `layers.bn1.weight` for gamma and `layers.bn1.bias` for
 * beta; those of a nested model under its name, `layers.backbone.conv1.kernel`.
 */
export class LayersModule extends Module {
  static readonly typeName: string = 'LayersModule';

  /** The layers that have weights, under their names. */
  readonly layers: ModuleDict;
  /** The model that it was made from, and that `writeBack()` writes to. @internal */
  declare readonly model: LayersModel;
  /** @internal */
  declare readonly plan: Plan;
  /** @internal */
  declare readonly places: Places;
  /** How long the first replica was in its batch norm layers in the last forward pass, in milliseconds. @internal */
  declare syncMilliseconds: number;

  /** @internal */
  constructor(model: LayersModel, device: string) {
    super();
    const graph = traceGraph(model);
    refuseLayers(graph);
    const { layers, places } = adoptWeights(model, graph, device);
    this.layers = layers;
    // Not enumerable: what is no part of the state.
    for (const [key, value] of Object.entries({ model, plan: new Plan(graph), places })) {
      Object.defineProperty(this, key, { value });
    }
    Object.defineProperty(this, 'syncMilliseconds', { value: 0, writable: true });
  }

  /**
   * Computes the outputs of the model.
   * @param inputs - one per input of the model, in its order, of the shapes that tfjs has: (N, H, W, C) for images. Integers are f32 too.
   * @returns one tensor, or an array for a model of several outputs.
   * @throws TypeError for another number of inputs; what the layers throw.
   */
  async forward(...inputs: Tensor[]): Promise<Tensor | readonly Tensor[]> {
    const { sources, steps, results } = this.plan;
    const given: readonly unknown[] = inputs;
    if (given.length !== sources.length || !given.every((input) => input instanceof Tensor)) {
      throw new TypeError(
        `${this.model.name}: expected ${sources.length} tensors of syncbn, one argument for each input of the model, got ` +
          `${given.length} arguments: ${given.map((input) => (input instanceof Tensor ? 'a tensor' : typeof input)).join(', ')}`,
      );
    }
    const flow = new Flow();
    let milliseconds = 0;
    sources.forEach((source, i) => flow.values.set(source, present(inputs[i], 'an input')));
    try {
      for (const step of steps) {
        const start = performance.now();
        await (step.kind === 'segment' ? this.runSegment(step, flow) : this.runBatchNorm(step, flow));
        milliseconds += step.kind === 'segment' ? 0 : performance.now() - start;
        step.spent.forEach((value) => flow.free(value));
      }
      reportToOriginal(this, milliseconds);
      // Handles of their own: a result may be an input, or two results the same value.
      const outputs = results.map((value) => flow.get(value).view(flow.get(value).shape));
      return outputs.length === 1 ? present(outputs[0], 'an output') : outputs;
    } finally {
      flow.freeAllBut(sources);
    }
  }

  /** @internal */
  override onReport(milliseconds: unknown, replica: number): void {
    if (replica === 0) {
      this.syncMilliseconds = Number(milliseconds);
    }
  }

  /**
   * Gives the model the values of the parameters and of the running statistics. Then `model.save()` writes them, and `model.predict()` uses
   * them; until then the model has what it had.
   */
  async writeBack(): Promise<void> {
    const values = await Promise.all(this.places.all.map((place) => tensorAt(this.layers, place).data()));
    this.places.all.forEach(({ variable }, i) => write(variable, values[i] ?? new Float32Array()));
  }

  private async runBatchNorm({ layer, input, output, axis }: BatchNormStep, flow: Flow): Promise<void> {
    const x = flow.get(input);
    const [place] = this.places.of(layer);
    const norm = moduleAt(this.layers, place?.path ?? []) as Module & { forward(x: Tensor): Promise<Tensor> };
    const { shape, memoryFormat } = seenAs(x.shape, axis);
    const seen = x.view(shape, { order: 'memory', memoryFormat });
    try {
      const y = await norm.forward(seen);
      flow.values.set(output, y.view(x.shape, { order: 'memory' }));
      y.dispose();
    } finally {
      seen.dispose();
    }
    const mask = flow.masks.get(input);
    if (mask !== undefined) {
      flow.masks.set(output, mask.detach());
    }
  }

  private async runSegment(step: SegmentStep, flow: Flow): Promise<void> {
    const held = step.layers.flatMap((layer) => this.places.of(layer));
    const weights = held.map((place) => tensorAt(this.layers, place));
    await runSegment(step, flow, { variables: held.map(({ variable }) => variable), weights, training: this.training });
  }
}

/**
 * Makes a module of a model of tf.layers, a `Sequential` or functional one, with nested and shared layers. `fit()` and its kin train it as tfjs trains
 * a model, on one device or several; a loop of your own calls `forward()` and `backward()`.
 *
 * Batch norms keep what Keras defines: `momentum` is the weight of the old value, the variance that is kept is the biased one, and a layer
 * with `trainable: false` normalizes with its moving averages. All values of `axis` but the batch, ranks from 2 to 5, `scale: false` and `center: false` are
 * trained, though tfjs alone cannot.
 *
 * @param model - built: its layers know their shapes. What it has is copied; its weights stay as they are until {@link LayersModule.writeBack}.
 * @throws TypeError or RangeError for a model that has not been built, and naming a layer that cannot be trained on several devices: stateful ones, and batch
 * norms inside `TimeDistributed` or `Bidirectional`.
 *
 * @example
 * ```ts
 * const model = await tf.loadLayersModel(url);
 * const net = fromLayersModel(model);
 * const parallel = convertModel(new DataParallel(net, { deviceIds: ['cpu:0', 'cpu:1'] }));
 * ```
 */
export function fromLayersModel(model: LayersModel, options: FromLayersModelOptions = {}): LayersModule {
  if (typeof (model as Partial<LayersModel> | null)?.getClassName !== 'function' || !Array.isArray(model.layers)) {
    throw new TypeError(
      `fromLayersModel(): expected a model of tf.layers, as tf.loadLayersModel() or tf.sequential() give it, got ${typeof model}`,
    );
  }
  const { device = 'cpu' } = options;
  return new LayersModule(model, device);
}

function write(variable: LayerVariable, values: Float32Array): void {
  const value = tf.tensor(values, variable.shape as number[], 'float32');
  variable.write(value);
  value.dispose();
}
