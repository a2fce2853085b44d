import {
  convertModel,
  DataParallel,
  DataParallelWithCallBack,
  init,
  Module,
  Sequential,
  type SplitSizes,
  SynchronizedBatchNorm1d,
  tensor,
  type Tensor,
} from 'syncbn';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds, deviceNames, oneDeviceOf } from '../support/device_kinds.ts';
import { randomArray } from '../support/random.ts';
import { Recorder } from './modules.ts';

describe.each(deviceKinds)('shares of given sizes on %s', (kind) => {
  const names = deviceNames(kind, 3);
  const [device = ''] = names;

  beforeAll(() => init([...names, oneDeviceOf(kind)]));

  /** Output, gradient of the input and running variance of a step. */
  async function step(
    net: (layer: SynchronizedBatchNorm1d) => Module,
    home: string,
    samples: number,
  ): Promise<Float32Array[]> {
    const layer = new SynchronizedBatchNorm1d(3, { device: home });
    const wrapped = net(layer) as Module & { forward(x: Tensor): Promise<Tensor> };
    const x = tensor(randomArray(1, samples * 6), [samples, 3, 2], { device: home, requiresGrad: true });
    const y = await wrapped.forward(x);
    await y.backward(tensor(randomArray(2, samples * 6), [samples, 3, 2], { device: home }));
    const results = [y, x.grad, layer.runningVar, layer.weight?.grad, layer.bias?.grad];
    return Promise.all(results.map(async (result) => (await result?.data()) ?? new Float32Array()));
  }

  it('give_the_bits_of_one_device', async () => {
    const sizes = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 3, maxLength: 3 });
    const property = fc.asyncProperty(sizes, async (splitSizes) => {
      const samples = splitSizes.reduce((sum, size) => sum + size, 0);
      fc.pre(samples > 0);
      const split = (layer: Module): Module => new DataParallelWithCallBack(layer, { deviceIds: names, splitSizes });
      const whole = await step((layer) => layer, oneDeviceOf(kind), samples);
      (await step(split, device, samples)).forEach((values, i) => expectSameBits(values, whole[i] ?? []));
    });
    await fc.assert(property, { seed: 11, numRuns: 10 });
  });
});

const names = ['cpu:0', 'cpu:1', 'cpu:2'];

function batch(...shape: number[]): Tensor {
  const length = shape.reduce((product, size) => product * size, 1);
  return tensor(
    Float32Array.from({ length }, (_, i) => i),
    shape,
  );
}

describe('splitSizes', () => {
  beforeAll(() => init(names));

  it.each<[SplitSizes | null, number, number[]]>([
    [[5, 0, 2], 7, [5, 0, 2]],
    [[0, 0, 1], 1, [0, 0, 1]],
    [[0, 0, 0], 0, [0, 0, 0]],
    [(size) => [size, 0, 0], 4, [4, 0, 0]],
    [null, 7, [3, 3, 1]],
  ])('%o_cut_%d_samples_into_%j', async (splitSizes, samples, shares) => {
    const recorder = new Recorder();
    const net = new DataParallel(recorder, { deviceIds: names });
    net.splitSizes = splitSizes;
    const x = batch(samples, 2);
    const y = (await net.forward(x)) as Tensor;
    expect(recorder.shapes).toEqual(shares.map((share) => [share, 2]));
    expectSameBits(await y.data(), await x.data());
  });

  it('cut_along_the_dimension_of_the_wrapper_and_every_tensor', async () => {
    const seen: (readonly number[])[] = [];
    class Pair extends Module {
      async forward([a, b]: readonly [Tensor, Tensor]): Promise<Tensor> {
        seen.push(a.shape, b.shape);
        return Promise.resolve(a);
      }
    }
    const net = new DataParallel(new Pair(), { deviceIds: names.slice(0, 2), dim: -1, splitSizes: [3, 1] });
    expect((await net.forward([batch(2, 4), batch(1, 3, 4)])).shape).toEqual([2, 4]);
    expect(seen).toEqual([
      [2, 3],
      [1, 3, 3],
      [2, 1],
      [1, 3, 1],
    ]);
  });

  it('are_ignored_where_there_is_no_tensor_to_cut', async () => {
    class Told extends Module {
      async forward(text: string): Promise<string[]> {
        return Promise.resolve([text].slice(1));
      }
    }
    expect(await new DataParallel(new Told(), { deviceIds: names, splitSizes: [1, 2, 3] }).forward('a')).toEqual([]);
  });

  it('stay_with_a_converted_wrapper_also_as_a_function_in_a_subclass', async () => {
    class Mine extends DataParallel {}
    const net = new Mine(new Sequential(), { deviceIds: names.slice(0, 2), splitSizes: (size: number) => [size, 0] });
    const converted = convertModel<DataParallel>(net);
    expect(converted).toBeInstanceOf(DataParallelWithCallBack);
    expect(await (await (converted.forward as (x: Tensor) => Promise<Tensor>)(batch(3))).data()).toHaveLength(3);
  });

  it('are_those_of_the_call_and_of_the_moment_they_were_given', async () => {
    const recorder = new Recorder();
    const sizes = [2, 1, 0];
    const net = new DataParallel(recorder, { deviceIds: names, splitSizes: sizes });
    sizes.fill(1);
    const running = net.forward(batch(3, 1));
    net.splitSizes = null;
    await running;
    expect(recorder.shapes).toEqual([
      [2, 1],
      [1, 1],
      [0, 1],
    ]);
  });

  it.each<[unknown, string]>([
    [7, 'got a number'],
    ['1,2', 'got a string'],
    [{ 0: 1 }, 'got an object'],
    [['1', 2, 3], 'got a string in it'],
    // eslint-disable-next-line no-sparse-arrays -- a hole is the case
    [[1, , 2], 'got undefined in it'],
    [[1, -1, 2], 'got -1'],
    [[1.5, 0.5, 0], 'got 1.5'],
    [[Number.NaN, 1, 1], 'got NaN'],
    [[2 ** 60, 0, 0], 'non-negative integers'],
  ])('%o_are_refused_at_once', (splitSizes, text) => {
    const options = { deviceIds: names, splitSizes } as never;
    expect(() => new DataParallel(new Recorder(), options)).toThrow(text);
    expect(() => new DataParallel(new Recorder(), options)).toThrow(/^splitSizes: expected/);
  });

  it.each<[SplitSizes, string]>([
    [[1, 2], 'expected one size for each of 3 devices, got 2 in [1, 2]'],
    [[1, 1, 1, 0], 'expected one size for each of 3 devices, got 4'],
    [[1, 1, 2], 'add up to 3, dimension 0 of an input of shape [3, 2], got [1, 1, 2], which add up to 4'],
    [() => [1, 1, 0], 'which add up to 2'],
    [() => undefined as never, 'got undefined'],
    [(size) => [size / 2, size / 2, 0], 'got 1.5'],
    [(async () => Promise.resolve([1, 1, 1])) as never, 'got a promise (await it)'],
  ])('%o_are_refused_by_the_forward_which_changes_nothing', async (splitSizes, text) => {
    const recorder = new Recorder();
    const net = new DataParallel(recorder, { deviceIds: names, splitSizes });
    const x = batch(3, 2).donate();
    await expect(net.forward(x)).rejects.toThrow(text);
    expect(recorder.shapes).toEqual([]);
    expect(x.isDisposed).toBe(false);
  });

  it('must_fit_every_tensor', async () => {
    class Two extends Module {
      async forward(a: Tensor, _b: Tensor): Promise<Tensor> {
        return Promise.resolve(a);
      }
    }
    const net = new DataParallel(new Two(), { deviceIds: names, splitSizes: [1, 1, 1] });
    await expect(net.forward(batch(3, 2), batch(4))).rejects.toThrow('of an input of shape [4]');
  });

  it('of_one_device_must_be_the_whole', async () => {
    const net = new DataParallel(new Recorder(), { deviceIds: ['cpu:0'], splitSizes: [2] });
    await expect(net.forward(batch(3))).rejects.toThrow('which add up to 2');
  });
});
