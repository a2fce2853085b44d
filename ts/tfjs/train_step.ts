/** One step of training. */

import * as tf from '@tensorflow/tfjs-core';
import type { LayerVariable } from '@tensorflow/tfjs-layers';
import { type StateDict, Tensor } from '../index.ts';
import { backendFor, handOverOn } from './backends.ts';
import type { Batch } from './batch.ts';
import { type CompiledModel, compiledOf } from './compiled_model.ts';
import { activeBackend, inScope, withBackend } from './engine.ts';
import { hostHandOver } from './hand_over.ts';
import { type Place, tensorAt } from './layer_weights.ts';
import type { LayersModule } from './layers_module.ts';
import { metricsOf, targetsFor, trainingLoss } from './loss.ts';
import { deviceOf, moduleOf, type Network } from './network.ts';
import { optimizerState } from './optimizer_state.ts';
import { present } from './present.ts';

/** What becomes of inputs on their way to a device. The caller disposes them. */
export async function inputsOn(device: string, xs: readonly tf.Tensor[]): Promise<readonly Tensor[]> {
  const handOver = hostHandOver(device, await activeBackend());
  return inScope(() => handOver.fromTf(xs));
}

/** The outputs of a network for a batch. */
export async function outputsOf(network: Network, inputs: readonly Tensor[]): Promise<readonly Tensor[]> {
  const output = await network.forward(...inputs);
  return output instanceof Tensor ? [output] : output;
}

/**
 * Forward, loss, backward, and the model's optimizer. The network is in training mode.
 * @returns the loss and the metrics, as `compile()` has ordered them.
 * @throws what the layers, the loss or a device throw; parameters, running statistics and what the optimizer remembers are then what they were.
 */
export async function trainStep(network: Network, batch: Batch): Promise<number[]> {
  const module = moduleOf('training', network);
  const model = compiledOf(module.model);
  const device = await deviceOf(network);
  module.zeroGrad();
  const before = module.stateDict();
  const made: Tensor[] = [];
  try {
    const inputs = await inputsOn(device, batch.xs);
    made.push(...inputs);
    const outputs = await outputsOf(network, inputs);
    made.push(...outputs);
    const targets = await targetsFor(batch, device);
    const [loss, losses] = await trainingLoss(model, outputs, targets, regularized(module));
    made.push(loss, losses);
    const parts = Array.from(await losses.data());
    const metrics = await metricsOf(model, outputs, targets, parts);
    const value = await loss.item();
    if (loss.requiresGrad) {
      await loss.backward();
      await applyGradients(module, model);
    }
    return [value, ...metrics];
  } catch (error) {
    // Where the device is lost there is nothing to go back to, and the first error is the one to tell.
    await module.loadStateDict(before).catch(() => undefined);
    throw error;
  } finally {
    made.forEach((item) => item.dispose());
    module.zeroGrad();
    disposeState(before);
  }
}

/** The weights that regularizers look at. */
function regularized({ layers, places }: LayersModule): { places: Place[]; values: Tensor[] } {
  const found = places.all.filter(({ layer }) => layer.losses.length > 0);
  return { places: found, values: found.map((place) => tensorAt(layers, place)) };
}

/** A parameter with its gradient. */
interface Trained {
  readonly variable: LayerVariable;
  readonly parameter: Tensor;
  readonly gradient: Tensor;
}

/** Has the optimizer of the model change the parameters, on the device where they are, and applies the constraints of the layers. */
async function applyGradients(module: LayersModule, model: CompiledModel): Promise<void> {
  const trained = trainedOf(module, model);
  const [first] = trained;
  if (first === undefined) {
    return;
  }
  const handOver = handOverOn(first.parameter.device, await backendFor(first.parameter.device));
  const toTf = await handOver.toTf([
    ...trained.map(({ parameter }) => parameter),
    ...trained.map(({ gradient }) => gradient),
  ]);
  const before = withBackend(handOver.backend, () => optimizerState(model.optimizer));
  try {
    await withBackend(handOver.backend, () =>
      inScope(() => {
        const given = toTf();
        const variables: tf.Variable[] = [];
        try {
          // The optimizer finds variables by name. Those of the model keep what they have until writeBack().
          trained.forEach(({ variable }, i) =>
            variables.push(tf.variable(present(given[i], 'a parameter'), true, `syncbn/${variable.name}`)),
          );
          const gradients = variables.map(({ name }, i) => ({
            name,
            tensor: present(given[trained.length + i], 'a gradient'),
          }));
          model.optimizer.applyGradients(gradients);
          variables.forEach((value, i) => constrain(value, present(trained[i], 'a parameter').variable));
          return handOver.copyTo(
            variables,
            trained.map(({ parameter }) => parameter),
          );
        } finally {
          variables.forEach((variable) => variable.dispose());
        }
      }),
    );
  } catch (error) {
    withBackend(handOver.backend, () => before.restore());
    throw error;
  } finally {
    before.dispose();
  }
}

/** In the order of the model, by which optimizers keep what they remember. */
function trainedOf({ layers, places }: LayersModule, { collectedTrainableWeights }: CompiledModel): Trained[] {
  return collectedTrainableWeights.flatMap((variable) => {
    const place = places.all.find((one) => one.variable === variable);
    const parameter = place && tensorAt(layers, place);
    const gradient = parameter?.grad ?? null;
    return parameter === undefined || gradient === null ? [] : [{ variable, parameter, gradient }];
  });
}

function constrain(value: tf.Variable, variable: LayerVariable): void {
  const { constraint } = variable as unknown as { readonly constraint: { apply(w: tf.Tensor): tf.Tensor } | null };
  if (constraint !== null) {
    value.assign(constraint.apply(value));
  }
}

function disposeState(state: StateDict): void {
  Object.values(state).forEach((item) => item instanceof Tensor && item.dispose());
}
