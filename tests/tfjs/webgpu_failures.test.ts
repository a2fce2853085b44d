/** A GPU that is lost in the middle of a training step: the first real error, the state as before, and no tensor of tfjs left. */

import * as tf from '@tensorflow/tfjs-core';
import { layers, sequential } from '@tensorflow/tfjs-layers';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { convertModel, DataParallel, DeviceLostError, devices, init, ReplicaError } from 'syncbn';
import { fromLayersModel, type LayersModule, trainOnBatch } from 'syncbn/tfjs';
import { collectGarbage } from '../support/event_loop.ts';
import { randomArray } from '../support/random.ts';
import { useBackend } from './backends.ts';

const deviceIds = ['webgpu:0', 'webgpu:1'] as const;

beforeAll(async () => {
  // In Node `navigator.gpu` comes with the first device, and tfjs looks for it when it is imported.
  await init(deviceIds);
  await import('@tensorflow/tfjs-backend-webgpu');
  await useBackend('cpu');
});
afterAll(() => devices.close());
beforeEach(collectGarbage);

/** The identity, which calls `onCall` with the number of its call, in forward and in its gradient. */
class Watched extends layers.Layer {
  static readonly className = 'Watched';
  onCall: (stage: 'forward' | 'backward', call: number) => void = () => undefined;
  #calls = { forward: 0, backward: 0 };

  begin(onCall: typeof this.onCall): void {
    this.onCall = onCall;
    this.#calls = { forward: 0, backward: 0 };
  }

  override computeOutputShape<S>(inputShape: S): S {
    return inputShape;
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    const [x] = [inputs].flat() as [tf.Tensor];
    const call = (stage: 'forward' | 'backward'): void => {
      const index = this.#calls[stage];
      this.#calls[stage] += 1;
      this.onCall(stage, index);
    };
    call('forward');
    const identity = tf.customGrad((...given) => {
      const [value] = given as unknown as [tf.Tensor];
      const gradFunc = (dy: tf.Tensor): tf.Tensor => {
        call('backward');
        return tf.clone(dy);
      };
      return { value: tf.clone(value), gradFunc };
    });
    return identity(x);
  }
}

async function stateOf(network: DataParallel<LayersModule>): Promise<Record<string, unknown>> {
  const entries = Object.entries(network.stateDict()).map(async ([name, value]) => {
    return [name, typeof value === 'number' ? value : Array.from(await value.data())] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}

describe.each(['forward', 'backward'] as const)('a GPU that is lost in %s', (stage) => {
  it('fails_the_step_with_its_error_leaves_the_state_and_trains_on_once_it_is_there_again', async () => {
    const watched = new Watched();
    const model = sequential({
      layers: [
        layers.dense({ units: 4, inputShape: [5] }),
        layers.batchNormalization(),
        watched,
        layers.dense({ units: 2 }),
      ],
    });
    model.compile({ optimizer: 'adam', loss: 'meanSquaredError' });
    const network = convertModel(new DataParallel(fromLayersModel(model), { deviceIds: [...deviceIds] }));
    const [xs, ys] = [tf.tensor(randomArray(1, 20), [4, 5]), tf.tensor(randomArray(2, 8), [4, 2])];
    await trainOnBatch(network, xs, ys);
    const before = await stateOf(network);
    await collectGarbage();
    const { numTensors } = tf.memory();

    watched.begin((now, call) => {
      if (now === stage && call === 1) devices.get('webgpu:1').gpuDevice.destroy();
    });
    const error: unknown = await trainOnBatch(network, xs, ys).catch((reason: unknown) => reason);
    const cause = error instanceof ReplicaError ? error.cause : error;
    expect(cause).toBeInstanceOf(DeviceLostError);
    expect(cause).toMatchObject({ device: 'webgpu:1' });
    expect(await stateOf(network)).toEqual(before);
    await collectGarbage();
    expect(tf.memory().numTensors).toBeLessThanOrEqual(numTensors);

    watched.begin(() => undefined);
    await devices.recreate('webgpu:1').ready();
    expect(await trainOnBatch(network, xs, ys)).toEqual(expect.any(Number));
    expect(await stateOf(network)).not.toEqual(before);
    await collectGarbage();
    expect(tf.memory().numTensors).toBeLessThanOrEqual(numTensors);
  });
});
