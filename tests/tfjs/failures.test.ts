/** What fails in training: the first real error, the state as before, and no tensor of tfjs left. */

import * as tf from '@tensorflow/tfjs-core';
import { layers, type LayersModel, sequential } from '@tensorflow/tfjs-layers';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { convertModel, DataParallel, devices, OutOfMemoryError, ReplicaError, tensor } from 'syncbn';
import { fromLayersModel, type LayersModule, type Network, trainOnBatch } from 'syncbn/tfjs';
import { CpuDevice } from '../../ts/device/cpu_device.ts';
import { randomArray } from '../support/random.ts';
import { useBackend } from './backends.ts';
import { type ModelMaker, twins } from './models.ts';
import { plainBatchNorm } from './reference_batch_norm.ts';

beforeAll(() => useBackend('cpu'));

/** A layer that throws when it is told to, in forward or in its gradient. */
class Unreliable extends layers.Layer {
  static readonly className = 'Unreliable';
  readonly fault = new Error('the layer is wrong');
  failsIn: 'forward' | 'backward' | null = null;
  /** Which of the calls fails. */
  countdown = 0;

  override computeOutputShape<S>(inputShape: S): S {
    return inputShape;
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    const [x] = [inputs].flat() as [tf.Tensor];
    const fail = (stage: typeof this.failsIn): void => {
      if (this.failsIn === stage && this.countdown-- <= 0) throw this.fault;
    };
    fail('forward');
    const identity = tf.customGrad((...given) => {
      const [value, save] = given as unknown as [tf.Tensor, (saved: tf.Tensor[]) => void];
      save([value]);
      const gradFunc = (dy: tf.Tensor): tf.Tensor => {
        fail('backward');
        return dy;
      };
      return { value: tf.clone(value), gradFunc };
    });
    return identity(x);
  }
}

const regression: ModelMaker = (norm) =>
  sequential({ layers: [layers.dense({ units: 4, inputShape: [5] }), norm(), layers.dense({ units: 2 })] });

function setUp(): {
  model: LayersModel;
  network: DataParallel<LayersModule>;
  unreliable: Unreliable;
  step: () => Promise<unknown>;
} {
  const unreliable = new Unreliable();
  const model = sequential({
    layers: [
      layers.dense({ units: 4, inputShape: [5] }),
      layers.batchNormalization(),
      unreliable,
      layers.dense({ units: 4 }),
      layers.batchNormalization(),
      layers.dense({ units: 2 }),
    ],
  });
  model.compile({ optimizer: 'adam', loss: 'meanSquaredError' });
  const network = convertModel(new DataParallel(fromLayersModel(model), { deviceIds: ['cpu:0', 'cpu:1'] }));
  const [xs, ys] = [tf.tensor(randomArray(1, 35), [7, 5]), tf.tensor(randomArray(2, 14), [7, 2])];
  return { model, network, unreliable, step: () => trainOnBatch(network, xs, ys) };
}

/** All values of the state. */
async function stateOf(network: Network): Promise<Record<string, unknown>> {
  const entries = Object.entries(network.stateDict()).map(async ([name, value]) => {
    return [name, typeof value === 'number' ? value : Array.from(await value.data())] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}

describe.each(['forward', 'backward'] as const)('a layer that throws in %s', (stage) => {
  it.each([0, 1])('fails_the_step_with_its_error_and_leaves_the_state_as_it_was_call_%i', async (countdown) => {
    const { network, unreliable, step } = setUp();
    await step();
    const before = await stateOf(network);
    const { numTensors } = tf.memory();
    Object.assign(unreliable, { failsIn: stage, countdown });
    const error: unknown = await step().catch((reason: unknown) => reason);
    expect(error instanceof ReplicaError ? error.cause : error).toBe(unreliable.fault);
    expect(error instanceof ReplicaError).toBe(stage === 'forward');
    expect(await stateOf(network)).toEqual(before);
    expect(tf.memory().numTensors).toBe(numTensors);
    unreliable.failsIn = null;
    await step();
    expect(await stateOf(network)).not.toEqual(before);
  });
});

it('after_200_steps_some_of_them_failed_or_abandoned_there_are_as_many_tensors_of_tfjs_as_after_2', async () => {
  const { network, unreliable, step } = setUp();
  await step();
  await step();
  const { numTensors } = tf.memory();
  const x = randomArray(3, 15);
  for (let i = 0; i < 198; i += 1) {
    unreliable.failsIn = i % 20 === 7 ? 'forward' : i % 20 === 13 ? 'backward' : null;
    unreliable.countdown = i % 2;
    await step().catch(() => undefined);
    if (i % 20 === 3) {
      unreliable.failsIn = null;
      const abandoned = await network.forward(tensor(x, [3, 5]));
      [abandoned].flat().forEach((output) => output.dispose());
    }
  }
  expect(tf.memory().numTensors).toBe(numTensors);
});

describe.each([
  { name: 'sgd', optimizer: () => tf.train.sgd(0.1) },
  { name: 'momentum', optimizer: () => tf.train.momentum(0.1, 0.9) },
  { name: 'adagrad', optimizer: () => tf.train.adagrad(0.1) },
  { name: 'adadelta', optimizer: () => tf.train.adadelta(0.1) },
  { name: 'adam', optimizer: () => tf.train.adam(0.1) },
  { name: 'adamax', optimizer: () => tf.train.adamax(0.1) },
  { name: 'rmsprop', optimizer: () => tf.train.rmsprop(0.01, 0.9, 0.5) },
])('new weights that cannot be copied, with $name', ({ optimizer: make }) => {
  it.each([0, 2])('leave_what_the_optimizer_remembers_as_after_step_%i', async (failing) => {
    const fault = new Error('the memory is full');
    const [failed, whole] = twins(regression, plainBatchNorm, plainBatchNorm).map((model) => {
      const optimizer = make();
      model.compile({ optimizer, loss: 'meanSquaredError' });
      return { network: fromLayersModel(model), optimizer };
    });
    if (failed === undefined || whole === undefined) throw new Error('expected two models');
    const [xs, ys] = [tf.tensor(randomArray(1, 35), [7, 5]), tf.tensor(randomArray(2, 14), [7, 2])];
    const last = [...failed.network.parameters()].at(-1);
    if (last === undefined) throw new Error('expected parameters');
    for (let step = 0; step < 4; step += 1) {
      if (step === failing) {
        const { numTensors } = tf.memory();
        const copy = vi.spyOn(last, 'copy_').mockRejectedValueOnce(fault);
        await expect(trainOnBatch(failed.network, xs, ys)).rejects.toBe(fault);
        copy.mockRestore();
        expect(tf.memory().numTensors).toBe(numTensors);
      }
      expect(await trainOnBatch(failed.network, xs, ys)).toBe(await trainOnBatch(whole.network, xs, ys));
    }
    // Names of layers are counted over the models of a page.
    const values = Object.values(await stateOf(failed.network));
    expect(values).toEqual(Object.values(await stateOf(whole.network)));
    expect(JSON.stringify(values)).not.toContain('null');
    expect(failed.optimizer.iterations).toBe(whole.optimizer.iterations);
  });
});

/** Takes a step while `cpu:1` may have so many bytes; `null`, or what it fails with. */
async function failureWithin(step: () => Promise<unknown>, bytes: (inUse: number) => number): Promise<unknown> {
  const device = devices.get('cpu:1');
  if (!(device instanceof CpuDevice)) throw new Error('expected a CPU device');
  device.memoryLimit = bytes(device.memoryUsage().bytesInUse);
  try {
    await step();
    return null;
  } catch (error) {
    return error instanceof ReplicaError ? error.cause : error;
  } finally {
    device.memoryLimit = Infinity;
  }
}

it.each([0, 64, 256, 1024, 4096])(
  'a_device_with_memory_for_%i_bytes_more_fails_the_step_or_takes_it_and_the_next_one_is_that_of_others',
  async (room) => {
    const { network, step } = setUp();
    await step();
    const before = await stateOf(network);
    const { numTensors } = tf.memory();
    const error = await failureWithin(step, (inUse) => inUse + room);
    if (error !== null) {
      expect(error).toBeInstanceOf(OutOfMemoryError);
      expect(await stateOf(network)).toEqual(before);
    }
    expect(tf.memory().numTensors).toBe(numTensors);
    await step();
    expect(await stateOf(network)).not.toEqual(before);
  },
);

it('a_device_without_memory_fails_the_step_and_leaves_the_state_as_it_was', async () => {
  const { network, step } = setUp();
  await step();
  const before = await stateOf(network);
  const { numTensors } = tf.memory();
  expect(await failureWithin(step, () => 0)).toBeInstanceOf(OutOfMemoryError);
  expect(await stateOf(network)).toEqual(before);
  expect(tf.memory().numTensors).toBe(numTensors);
});

it('a_device_that_is_lost_fails_the_step_with_its_error', async () => {
  const { model, network } = setUp();
  await network.to('worker:0');
  const [xs, ys] = [tf.ones([4, 5]), tf.ones([4, 2])];
  const onWorkers = convertModel(new DataParallel(network.module, { deviceIds: ['worker:0', 'worker:1'] }));
  await trainOnBatch(onWorkers, xs, ys);
  const { numTensors } = tf.memory();
  await devices.close('worker:1');
  // A fresh device takes the name, so that training goes on.
  await expect(trainOnBatch(onWorkers, xs, ys)).resolves.toEqual(expect.any(Number));
  await devices.close('worker:0');
  const error: unknown = await trainOnBatch(onWorkers, xs, ys).catch((reason: unknown) => reason);
  expect(String(error)).toMatch(/worker:0/);
  expect(tf.memory().numTensors).toBe(numTensors);
  expect(model.weights[0]?.read().isDisposed).toBe(false);
});
