/** Training: the numbers of `model.fit` and its kin, on one device and on several. */

import * as tf from '@tensorflow/tfjs-core';
import {
  callbacks,
  Callback,
  type CustomCallbackArgs,
  type History,
  layers,
  type LayersModel,
  type Logs,
  type ModelFitArgs,
  sequential,
} from '@tensorflow/tfjs-layers';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { convertModel, DataParallel, devices } from 'syncbn';
import {
  evaluate,
  fit,
  fitDataset,
  fromLayersModel,
  type LayersModule,
  type Network,
  predict,
  trainOnBatch,
} from 'syncbn/tfjs';
import { randomArray } from '../support/random.ts';
import { largestDifference } from '../support/tolerances.ts';
import { useBackend } from './backends.ts';
import { inputsFor, type ModelMaker, models, twins } from './models.ts';
import { plainBatchNorm, referenceBatchNorm } from './reference_batch_norm.ts';

beforeAll(() => useBackend('cpu'));

/** A classifier of rows of five numbers. */
const classifier: ModelMaker = (norm) =>
  sequential({
    layers: [
      // A bias here would have a gradient of 0 but for rounding, which adam makes as large as all others.
      layers.dense({ units: 6, inputShape: [5], kernelRegularizer: 'l1l2', useBias: false }),
      norm(),
      layers.reLU(),
      layers.dense({ units: 3, activation: 'softmax' }),
    ],
  });

const compile = (model: LayersModel, more: object = {}): LayersModel => {
  model.compile({ optimizer: tf.train.adam(0.05), loss: 'categoricalCrossentropy', metrics: ['accuracy'], ...more });
  return model;
};

/** Twenty samples and their classes. */
function data(samples = 20, seed = 1): { xs: tf.Tensor2D; ys: tf.Tensor2D } {
  const classes = Array.from({ length: samples }, (_, i) => (i * 7) % 3);
  const ys = classes.flatMap((class_) => [0, 1, 2].map((one) => (one === class_ ? 1 : 0)));
  return { xs: tf.tensor2d(randomArray(seed, samples * 5), [samples, 5]), ys: tf.tensor2d(ys, [samples, 3]) };
}

const onDevices = (model: LayersModel, ...deviceIds: string[]): DataParallel<LayersModule> =>
  convertModel(new DataParallel(fromLayersModel(model), { deviceIds }));

const weightsOf = (model: LayersModel): Float32Array[] =>
  model.weights.map((one) => one.read().dataSync().slice() as Float32Array);

/** The largest difference, of the largest value of all. */
function difference(actual: readonly ArrayLike<number>[], expected: readonly ArrayLike<number>[]): number {
  expect(actual.map(({ length }) => length)).toEqual(expected.map(({ length }) => length));
  const largest = Math.max(...expected.flatMap((values) => Array.from(values, Math.abs)));
  return Math.max(0, ...expected.map((values, i) => largestDifference(actual[i] ?? [], values))) / (largest || 1);
}

/** Both histories have the same names in all epochs, and nearly the same values. */
function expectSameHistory(actual: History, expected: History): void {
  expect(Object.keys(actual.history).sort()).toEqual(Object.keys(expected.history).sort());
  expect(actual.epoch).toEqual(expected.epoch);
  for (const [name, values] of Object.entries(expected.history)) {
    expect(difference([actual.history[name] as number[]], [values as number[]]), name).toBeLessThan(1e-4);
  }
}

describe('fit', () => {
  let xs: tf.Tensor2D;
  let ys: tf.Tensor2D;
  beforeAll(() => void ({ xs, ys } = data()));
  const common = { batchSize: 6, epochs: 3, shuffle: false } as const;

  const cases: [what: string, args: () => ModelFitArgs][] = [
    ['plainly', () => ({})],
    ['with_a_part_for_validation', () => ({ validationSplit: 0.3 })],
    ['with_data_for_validation', () => ({ validationData: [data(7, 2).xs, data(7, 2).ys] })],
    ['with_weights_of_classes', () => ({ classWeight: { 0: 1, 1: 0.5, 2: 3 } })],
    ['from_a_later_epoch', () => ({ initialEpoch: 1 })],
  ];

  it.each(cases)('trains_%s_as_tfjs_and_on_three_devices_as_on_one', async (_, argsOf) => {
    const args = argsOf();
    const [plain, one] = twins(classifier, plainBatchNorm, plainBatchNorm);
    const [, three] = twins(classifier, plainBatchNorm, plainBatchNorm);
    const expected = await compile(plain).fit(xs, ys, { ...common, ...args });
    for (const [model, deviceIds] of [
      [one, ['cpu:0']],
      [three, ['cpu:0', 'cpu:1', 'cpu:2']],
    ] as const) {
      const network = onDevices(compile(model), ...deviceIds);
      const history = await fit(network, xs, ys, { ...common, ...args });
      expectSameHistory(history, expected);
      await network.module.writeBack();
      expect(difference(weightsOf(model), weightsOf(plain))).toBeLessThan(2e-4);
    }
  });

  it('multiplies_the_losses_of_samples_with_their_weights', async () => {
    const [weighted, repeated] = twins(classifier, plainBatchNorm, plainBatchNorm);
    const optimizer = (): object => ({ optimizer: tf.train.sgd(0.1) });
    // A weight of 2 on all samples is twice the loss.
    const sampleWeight = tf.tensor1d(new Array<number>(20).fill(2));
    const twice = await trainOnBatch(fromLayersModel(compile(weighted, optimizer())), xs, ys, { sampleWeight });
    const once = await trainOnBatch(fromLayersModel(compile(repeated, optimizer())), xs, ys);
    const penalty = tf.tidy(
      () => tf.addN((weighted as unknown as { model: LayersModel }).model.calculateLosses()).dataSync()[0] ?? 0,
    );
    expect((twice as number[])[0]).toBeCloseTo(2 * ((once as number[])[0] ?? 0) - penalty, 5);
    const wrong = trainOnBatch(fromLayersModel(weighted), xs, ys, { sampleWeight: tf.ones([3]) });
    await expect(wrong).rejects.toThrow('sampleWeight: expected shape [20]');
  });

  it('shuffles_unless_told_otherwise_and_sees_every_sample_once', async () => {
    const [model] = twins(classifier, plainBatchNorm, plainBatchNorm);
    const seen: number[] = [];
    const steps: number[] = [];
    await fit(fromLayersModel(compile(model)), xs, ys, {
      batchSize: 6,
      epochs: 2,
      callbacks: { onBatchEnd: (_batch, logs) => void seen.push(Number(logs?.['size'])) },
      onStep: ({ step, loss, samplesPerSecond, syncMilliseconds }) => {
        steps.push(step);
        expect([loss, samplesPerSecond].every((value) => value > 0)).toBe(true);
        // The clock of a page may not see so short a time.
        expect(syncMilliseconds).toBeGreaterThanOrEqual(0);
      },
    });
    expect(seen).toEqual([6, 6, 6, 2, 6, 6, 6, 2]);
    expect(steps).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it('calls_callbacks_of_every_form_in_the_order_of_tfjs', async () => {
    const [plain, own] = twins(classifier, plainBatchNorm, plainBatchNorm);
    class Listening extends Callback {
      readonly told: string[] = [];
      override onTrainBegin(): Promise<void> {
        this.told.push(`begin ${Object.keys(this.params).sort().join(' ')} ${JSON.stringify(this.params['metrics'])}`);
        return Promise.resolve();
      }
      override onEpochEnd(epoch: number, logs?: Logs): Promise<void> {
        this.told.push(
          `epoch ${epoch} ${Object.keys(logs ?? {})
            .sort()
            .join(' ')}`,
        );
        return Promise.resolve();
      }
    }
    const train = async (run: (args: { callbacks: never }) => Promise<unknown>): Promise<string[]> => {
      const [listening, told] = [new Listening(), [] as string[]];
      const note = (name: string) => (index: number, logs?: Logs) =>
        void told.push(
          `${name} ${index} ${Object.keys(logs ?? {})
            .sort()
            .join(' ')}`,
        );
      const functions: CustomCallbackArgs = {
        onTrainBegin: () => void told.push('train begin'),
        onTrainEnd: () => void told.push('train end'),
        ...{ onEpochBegin: note('epoch begin'), onEpochEnd: note('epoch end') },
        ...{ onBatchBegin: note('batch begin'), onBatchEnd: note('batch end') },
      };
      await run({ callbacks: listening as never });
      await run({ callbacks: [functions] as never });
      return [...listening.told, ...told];
    };
    const args = { ...common, epochs: 2, batchSize: 10, validationSplit: 0.5 };
    const expected = await train(({ callbacks: given }) => compile(plain).fit(xs, ys, { ...args, callbacks: given }));
    const actual = await train(({ callbacks: given }) =>
      fit(fromLayersModel(compile(own)), xs, ys, { ...args, callbacks: given }),
    );
    expect(actual).toEqual(expected);
  });

  it('stops_early_as_the_callback_of_tfjs_says_and_when_the_model_is_told_to', async () => {
    const [model] = twins(classifier, plainBatchNorm, plainBatchNorm);
    const network = fromLayersModel(compile(model, { optimizer: tf.train.sgd(0) }));
    const early = callbacks.earlyStopping({ monitor: 'loss', patience: 1, minDelta: 1 });
    const history = await fit(network, xs, ys, { epochs: 20, callbacks: early });
    expect(history.epoch.length).toBeLessThan(5);
    const stopped = await fit(network, xs, ys, {
      epochs: 20,
      callbacks: { onBatchEnd: () => void (model.stopTraining = true) },
    });
    expect(stopped.epoch).toEqual([0]);
  });

  it('ends_with_the_reason_of_a_signal_and_may_be_called_again', async () => {
    const [model] = twins(classifier, plainBatchNorm, plainBatchNorm);
    const network = fromLayersModel(compile(model));
    const controller = new AbortController();
    let steps = 0;
    const training = fit(network, xs, ys, {
      ...{ epochs: 50, batchSize: 6, signal: controller.signal },
      onStep: () => {
        steps += 1;
        if (steps === 2) controller.abort();
      },
    });
    const reason: unknown = await training.catch((error: unknown) => error);
    expect(reason).toBe(controller.signal.reason);
    expect(steps).toBe(2);
    await expect(fit(network, xs, ys)).resolves.toBeDefined();
  });

  it('refuses_a_second_training_of_the_model_and_a_model_that_is_not_compiled', async () => {
    const [model, other] = twins(classifier, plainBatchNorm, plainBatchNorm);
    const network = fromLayersModel(compile(model));
    const [first, second] = await Promise.allSettled([fit(network, xs, ys), fit(network, xs, ys)]);
    expect([first.status, second.status]).toEqual(['fulfilled', 'rejected']);
    await expect(fit(fromLayersModel(other), xs, ys)).rejects.toThrow('call model.compile');
    await expect(fit({} as Network, xs, ys)).rejects.toThrow(TypeError);
    await expect(fit(network, xs, ys, { batchSize: 0 })).rejects.toThrow(RangeError);
  });

  it('writes_a_line_per_epoch_with_verbose_2_and_refuses_other_numbers', async () => {
    const [model] = twins(classifier, plainBatchNorm, plainBatchNorm);
    const network = fromLayersModel(compile(model));
    const written = vi.spyOn(console, 'log').mockImplementation(() => undefined);
    const { history } = await fit(network, xs, ys, { epochs: 3, initialEpoch: 1, verbose: 2 });
    const texts = written.mock.calls.map(([text]) => String(text));
    written.mockRestore();
    const loss = history['loss']?.map((value) => Number(value).toPrecision(4));
    expect(texts).toEqual([
      expect.stringMatching(new RegExp(`^epoch 2/3 · .* s · loss ${loss?.[0]} · acc `)),
      expect.stringMatching(new RegExp(`^epoch 3/3 · .* s · loss ${loss?.[1]} · acc `)),
    ]);
    await expect(fit(network, xs, ys, { verbose: 3 as 2 })).rejects.toThrow('verbose to be 0, 1 or 2, got 3');
  });

  it('trains_on_a_device_that_the_parameters_are_not_on_yet', async () => {
    const [model] = twins(classifier, plainBatchNorm, plainBatchNorm);
    const network = onDevices(compile(model), 'worker:0', 'worker:1');
    await fit(network, xs, ys);
    expect(Array.from(network.module.parameters(), ({ device }) => device)).toContain('worker:0');
    await devices.close('worker:0', 'worker:1');
  });
});

describe.each(models)('trainOnBatch with $name', ({ make }) => {
  it('gives_the_losses_and_weights_of_tfjs', async () => {
    const [plain, own] = twins(make, referenceBatchNorm, plainBatchNorm);
    const settings = (): Parameters<LayersModel['compile']>[0] => ({
      optimizer: tf.train.sgd(0.1),
      loss: 'meanSquaredError',
      metrics: ['mse'],
    });
    plain.compile(settings());
    own.compile(settings());
    const xs = inputsFor(plain, 5).map(({ values, shape }) => tf.tensor(values, shape));
    const ys = plain.outputs.map(({ shape }, i) => {
      const sizes = [5, ...(shape.slice(1) as number[])];
      return tf.tensor(
        randomArray(
          90 + i,
          sizes.reduce((a, b) => a * b),
        ),
        sizes,
      );
    });
    const network = onDevices(own, 'cpu:0', 'cpu:1');
    const losses: [unknown, unknown][] = [];
    for (let step = 0; step < 2; step += 1) {
      losses.push([await trainOnBatch(network, xs, ys), await plain.trainOnBatch(xs, ys)]);
    }
    await network.module.writeBack();
    expect(
      difference(
        losses.map(([actual]) => actual as number[]),
        losses.map(([, expected]) => expected as number[]),
      ),
    ).toBeLessThan(1e-5);
    expect(difference(weightsOf(own), weightsOf(plain))).toBeLessThan(2e-5);
  });
});

it('applies_constraints_after_each_step', async () => {
  const model = sequential({
    layers: [layers.dense({ units: 4, inputShape: [5], kernelConstraint: 'nonNeg' }), layers.dense({ units: 3 })],
  });
  model.compile({ optimizer: tf.train.sgd(0.5), loss: 'meanSquaredError' });
  const network = fromLayersModel(model);
  const { xs, ys } = data();
  await trainOnBatch(network, xs, ys);
  const [kernel] = network.parameters();
  expect(Math.min(...((await kernel?.data()) ?? []))).toBe(0);
});

describe('evaluate_and_predict', () => {
  it('give_the_numbers_of_tfjs_and_leave_the_modes_of_the_modules', async () => {
    const [plain, own] = twins(classifier, plainBatchNorm, plainBatchNorm);
    const network = onDevices(compile(own), 'cpu:0', 'cpu:1');
    const { xs, ys } = data();
    const [loss, accuracy] = (await evaluate(network, xs, ys, { batchSize: 7 })) as tf.Scalar[];
    const [plainLoss, plainAccuracy] = compile(plain).evaluate(xs, ys, { batchSize: 7 }) as tf.Scalar[];
    expect(loss?.dataSync()[0]).toBeCloseTo(plainLoss?.dataSync()[0] ?? 0, 5);
    expect(accuracy?.dataSync()[0]).toBeCloseTo(plainAccuracy?.dataSync()[0] ?? 0, 6);
    const predicted = (await predict(network, xs, { batchSize: 7 })) as tf.Tensor;
    const expected = plain.predict(xs) as tf.Tensor;
    expect(predicted.shape).toEqual(expected.shape);
    expect(difference([predicted.dataSync()], [expected.dataSync()])).toBeLessThan(1e-6);
    expect(network.module.training).toBe(true);
  });

  it('give_scalars_and_arrays_as_tfjs_does', async () => {
    const [own] = twins(classifier, plainBatchNorm, plainBatchNorm);
    own.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
    const { xs, ys } = data();
    expect(await evaluate(fromLayersModel(own), xs, ys)).toBeInstanceOf(tf.Tensor);
    expect(await trainOnBatch(fromLayersModel(own), xs, ys)).toEqual(expect.any(Number));
  });
});

describe('fitDataset', () => {
  /** What a dataset of tfjs-data does, of batches of these sizes. */
  function dataset(sizes: readonly number[]): { iterator(): Promise<{ next(): Promise<never> }> } {
    return {
      iterator: () => {
        let i = 0;
        const next = (): Promise<unknown> => {
          const size = sizes[i];
          if (size === undefined) return Promise.resolve({ value: null, done: true });
          i += 1;
          return Promise.resolve({ value: data(size, i), done: false });
        };
        return Promise.resolve({ next: next as () => Promise<never> });
      },
    };
  }

  it.each<[what: string, args: () => object]>([
    ['whole', () => ({})],
    ['by_a_number_of_batches', () => ({ batchesPerEpoch: 2 })],
    ['with_a_dataset_for_validation', () => ({ validationData: dataset([4, 5]) })],
    ['with_tensors_for_validation', () => ({ validationData: [data(6, 4).xs, data(6, 4).ys] })],
    ['with_weights_of_classes', () => ({ classWeight: { 0: 1, 1: 0.5, 2: 3 } })],
  ])('trains_as_tfjs_%s', async (_, argsOf) => {
    const args = argsOf();
    const [plain, own] = twins(classifier, plainBatchNorm, plainBatchNorm);
    const common = { epochs: 2 };
    const { numTensors } = tf.memory();
    const actual = await fitDataset(onDevices(compile(own), 'cpu:0', 'cpu:1'), dataset([6, 6, 3, 4]), {
      ...common,
      ...args,
    });
    // What the optimizer remembers stays: its iterations' two decays, and two moments of each weight.
    expect(tf.memory().numTensors - numTensors).toBe(2 + 2 * 5);
    const expected = await compile(plain).fitDataset(dataset([6, 6, 3, 4]) as never, { ...common, ...args });
    expectSameHistory(actual, expected);
  });

  it('refuses_batches_that_are_none', async () => {
    const [own] = twins(classifier, plainBatchNorm, plainBatchNorm);
    const of = (value: unknown): never =>
      ({ iterator: () => Promise.resolve({ next: () => Promise.resolve({ value, done: false }) }) }) as never;
    await expect(fitDataset(fromLayersModel(compile(own)), of(3), { epochs: 1 })).rejects.toThrow('{ xs, ys }');
    await expect(fitDataset(fromLayersModel(own), of(3), { epochs: 0 })).rejects.toThrow(RangeError);
  });
});
