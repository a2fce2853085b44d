import {
  BatchNorm1d,
  BatchNorm2d,
  convertModel,
  functional,
  SynchronizedBatchNorm1d,
  tensor,
  type Tensor,
} from 'syncbn';
import { describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds, deviceNames, numericsOf } from '../support/device_kinds.ts';
import { randomArray } from '../support/random.ts';

const shape = [5, 3, 2, 2];
const perChannel = 20;

/** Of each channel of a batch, divided by n. */
function biasedVariances(x: Float32Array): number[] {
  return [0, 1, 2].map((channel) => {
    const values = [...x].filter((_, i) => Math.floor(i / 4) % 3 === channel);
    const mean = values.reduce((sum, value) => sum + value, 0) / perChannel;
    return values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / perChannel;
  });
}

describe.each(deviceKinds)('on %s', (kind) => {
  const [device = ''] = deviceNames(kind, 1);

  it.each(numericsOf(kind))(
    'a_biased_running_variance_takes_the_variance_divided_by_n, %s numerics',
    async (numerics) => {
      const bn = new BatchNorm2d(3, { device, numerics, runningVar: 'biased', momentum: 0.25 });
      const plain = new BatchNorm2d(3, { device, numerics, momentum: 0.25 });
      const values = randomArray(1, 60, { scale: 3, offset: 2 });
      const x = tensor(values, shape, { device });
      const [y, expected] = [await bn.forward(x), await plain.forward(x)];
      expectSameBits(await y.data(), await expected.data(), 'y');
      expectSameBits(await read(bn.runningMean), await read(plain.runningMean), 'running_mean');
      const variances = await read(bn.runningVar);
      const unbiased = await read(plain.runningVar);
      biasedVariances(values).forEach((variance, c) => {
        expect(variances[c]).toBeCloseTo(0.75 + 0.25 * variance, 5);
        expect(unbiased[c]).toBeCloseTo(0.75 + (0.25 * variance * perChannel) / (perChannel - 1), 5);
      });
    },
  );

  it('the_function_has_the_option_too', async () => {
    const bn = new BatchNorm2d(3, { device, runningVar: 'biased', momentum: 0.25 });
    const [mean, variance] = [tensor([0, 0, 0], [3], { device }), tensor([1, 1, 1], [3], { device })];
    const x = tensor(randomArray(1, 60, { scale: 3, offset: 2 }), shape, { device });
    await bn.forward(x);
    await functional.batchNorm(x, mean, variance, { training: true, momentum: 0.25, runningVar: 'biased' });
    expectSameBits(await mean.data(), await read(bn.runningMean), 'running_mean');
    expectSameBits(await variance.data(), await read(bn.runningVar), 'running_var');
    const wrong = { training: true, runningVar: 'Biased' as 'biased' };
    await expect(functional.batchNorm(x, mean, variance, wrong)).rejects.toThrow('runningVar');
  });

  it('the_running_variance_is_that_of_evaluation_after_a_batch_of_weight_1', async () => {
    // With momentum 1 evaluation normalizes a batch with what training on it has kept: with the biased variance that is what
    // training has done.
    const bn = new BatchNorm1d(2, { device, runningVar: 'biased', momentum: 1 });
    const x = tensor(randomArray(2, 64), [32, 2], { device });
    const trained = await (await bn.forward(x)).data();
    const evaluated = await (await bn.eval().forward(x)).data();
    evaluated.forEach((value, i) => expect(value).toBeCloseTo(trained[i] ?? Number.NaN, 5));
  });
});

it.each([
  [{}, ['weight', 'bias']],
  [{ bias: false }, ['weight']],
  [{ weight: false }, ['bias']],
  [{ weight: false, bias: false }, []],
  [{ affine: false, weight: true }, []],
])('a_layer_with_%j_has_the_parameters_%j', (options, names) => {
  const bn = new BatchNorm1d(2, options);
  expect(Array.from(bn.namedParameters(), ([name]) => name)).toEqual(names);
});

it('a_bias_alone_is_added_and_gets_its_gradient', async () => {
  const bn = new BatchNorm1d(2, { weight: false });
  const whole = new BatchNorm1d(2);
  for (const layer of [bn, whole]) await layer.bias?.copy_(Float32Array.of(3, -4));
  const [x, dy] = [randomArray(3, 10), randomArray(4, 10)];
  const results = [bn, whole].map(async (layer) => {
    const input = tensor(x, [5, 2], { requiresGrad: true });
    const y = await layer.forward(input);
    await y.backward(tensor(dy, [5, 2]));
    return [await y.data(), await read(input.grad), await read(layer.bias?.grad ?? null)];
  });
  const [alone = [], expected = []] = await Promise.all(results);
  alone.forEach((values, i) => expectSameBits(values, expected[i] ?? []));
  bn.resetParameters();
  expectSameBits(await read(bn.bias), [0, 0]);
});

it('what_PyTorch_does_not_have_is_told_by_the_text_of_a_layer_only_where_it_is_used', () => {
  const text = 'BatchNorm1d(2, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True';
  expect(String(new BatchNorm1d(2))).toBe(`${text})`);
  expect(String(new BatchNorm1d(2, { weight: false, runningVar: 'biased' }))).toBe(
    `${text}, weight=False, running_var=biased)`,
  );
});

it('a_converted_layer_keeps_its_running_variance', () => {
  const converted = convertModel(new BatchNorm1d(2, { runningVar: 'biased' }));
  expect(converted).toBeInstanceOf(SynchronizedBatchNorm1d);
  expect(converted.runningVarMode).toBe('biased');
});

it('another_name_of_a_variance_is_refused', async () => {
  const make = (): BatchNorm1d => new BatchNorm1d(2, { runningVar: 'population' as 'biased' });
  expect(make).toThrow(new TypeError("runningVar: expected 'biased' or 'unbiased', got population"));
  const bn = new BatchNorm1d(2);
  bn.runningVarMode = 'population' as 'biased';
  await expect(bn.forward(tensor([1, 2, 3, 4], [2, 2]))).rejects.toThrow(
    "runningVarMode: expected 'biased' or 'unbiased'",
  );
});

async function read(values: Tensor | null): Promise<Float32Array> {
  return (await values?.data()) ?? new Float32Array();
}
