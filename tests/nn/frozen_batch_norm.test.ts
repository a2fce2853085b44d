import {
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  DataParallel,
  DataParallelWithCallBack,
  devices,
  type FrozenBatchNorm,
  FrozenBatchNorm1d,
  FrozenBatchNorm2d,
  FrozenBatchNorm3d,
  init,
  type Module,
  type MemoryFormat,
  Sequential,
  tensor,
  type Tensor,
} from 'syncbn';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds, deviceNames } from '../support/device_kinds.ts';
import { collectGarbage } from '../support/event_loop.ts';
import { randomArray } from '../support/random.ts';

const ranks = [
  [BatchNorm1d, FrozenBatchNorm1d, [4, 3]],
  [BatchNorm1d, FrozenBatchNorm1d, [4, 3, 5]],
  [BatchNorm2d, FrozenBatchNorm2d, [4, 3, 2, 3]],
  [BatchNorm3d, FrozenBatchNorm3d, [2, 3, 2, 2, 2]],
] as const;

/** Values of a layer that has been trained, with the counter that PyTorch's layers save. */
function checkpoint(): Record<string, Float32Array | number> {
  return {
    weight: Float32Array.of(2, -1, 0.5),
    bias: Float32Array.of(1, 0, -3),
    running_mean: Float32Array.of(0.25, 4, -1),
    running_var: Float32Array.of(2, 0.5, 9),
    num_batches_tracked: 7,
  };
}

describe.each(deviceKinds)('on %s', (kind) => {
  const [device = '', other = ''] = deviceNames(kind, 2);

  beforeAll(() => init([device, other]));

  describe.each(ranks)('%o', (Plain, Frozen, shape) => {
    const formats: readonly MemoryFormat[] = shape.length < 3 ? ['contiguous'] : ['contiguous', 'channels_last'];

    it.each(formats)('a_frozen_layer_in_training_is_the_plain_one_in_evaluation, %s', async (memoryFormat) => {
      const frozen = new Frozen(3, { device, eps: 1e-3 });
      const plain = new Plain(3, { device, eps: 1e-3 });
      await Promise.all([frozen.loadStateDict(checkpoint()), plain.loadStateDict(checkpoint())]);
      const steps = [frozen.train(), plain.eval()].map(
        async (layer: Module & { forward(x: Tensor): Promise<Tensor> }) => {
          const size = shape.reduce((product: number, length) => product * length, 1);
          const x = tensor(randomArray(1, size), shape, { device, requiresGrad: true, memoryFormat });
          const y = await layer.forward(x);
          await y.backward(tensor(randomArray(2, size), shape, { device, memoryFormat }));
          return [await y.data(), await read(x.grad)] as const;
        },
      );
      const [[y, dx], [expectedY, expectedDx]] = (await Promise.all(steps)) as [Step, Step];
      expectSameBits(y, expectedY, 'y');
      expectSameBits(dx, expectedDx, 'dx');
    });
  });

  it('nothing_in_a_frozen_layer_changes_when_a_network_is_trained_around_it', async () => {
    const frozen = new FrozenBatchNorm2d(3, { device });
    await frozen.loadStateDict(checkpoint());
    const before = await stateOf(frozen);
    const net = new Sequential(new BatchNorm2d(3, { device }), frozen, new BatchNorm2d(3, { device })).train();
    const y = await net.forward(tensor(randomArray(3, 48), [4, 3, 2, 2], { device }));
    await y.backward(tensor(randomArray(4, 48), [4, 3, 2, 2], { device }));
    expect(await stateOf(frozen)).toEqual(before);
    expect([...net.parameters()]).toHaveLength(4);
    expect((await read([...net.parameters()][0]?.grad ?? null)).some((value) => value !== 0)).toBe(true);
  });

  it.each([DataParallel, DataParallelWithCallBack])('several_devices_give_the_bits_of_one, in %o', async (Wrapper) => {
    const frozen = new FrozenBatchNorm1d(3, { device });
    await frozen.loadStateDict(checkpoint());
    const net = new Wrapper(frozen, { deviceIds: [device, other] });
    const x = (): Tensor => tensor(randomArray(5, 15), [5, 3], { device, requiresGrad: true });
    const dy = tensor(randomArray(6, 15), [5, 3], { device });
    const [split, whole] = [x(), x()];
    const [y, expected] = [await net.forward(split), await frozen.forward(whole)];
    await y.backward(dy);
    await expected.backward(dy);
    expectSameBits(await y.data(), await expected.data(), 'y');
    expectSameBits(await read(split.grad), await read(whole.grad), 'dx');
  });

  it('computes_at_once_what_it_computes_later, or says why not', async () => {
    const frozen = new FrozenBatchNorm1d(3, { device });
    await frozen.loadStateDict(checkpoint());
    const x = tensor(randomArray(8, 12), [4, 3], { device });
    const expected = await frozen.forward(x);
    if (kind === 'worker') {
      expect(() => frozen.forwardSync(x)).toThrow('await forward()');
    } else {
      expectSameBits(await frozen.forwardSync(x).data(), await expected.data());
    }
  });

  it('a_network_frees_what_lies_between_frozen_layers', async () => {
    const net = new Sequential(new FrozenBatchNorm1d(2, { device }), new FrozenBatchNorm1d(2, { device }));
    const x = tensor(randomArray(7, 8), [4, 2], { device });
    (await net.forward(x)).dispose();
    await collectGarbage();
    const { buffers } = devices.get(device).memoryUsage();
    (await net.forward(x)).dispose();
    expect(devices.get(device).memoryUsage().buffers).toBe(buffers);
  });
});

it('has_four_buffers_and_no_parameters_under_the_names_of_torchvision', () => {
  const frozen = new FrozenBatchNorm2d(2);
  expect(Object.keys(frozen.stateDict())).toEqual(['weight', 'bias', 'running_mean', 'running_var']);
  expect([...frozen.parameters()]).toEqual([]);
});

it('begins_as_the_identity_but_for_eps', async () => {
  expect(await stateOf(new FrozenBatchNorm1d(2))).toEqual({
    weight: [1, 1],
    bias: [0, 0],
    running_mean: [0, 0],
    running_var: [1, 1],
  });
});

it('prints_as_in_torchvision', () => {
  expect(String(new FrozenBatchNorm2d(64))).toBe('FrozenBatchNorm2d(64, eps=1e-05)');
});

it('passes_over_the_counter_of_a_checkpoint_and_over_nothing_else', async () => {
  const net = new Sequential(new FrozenBatchNorm2d(3), new BatchNorm2d(3, { affine: false, trackRunningStats: false }));
  const dict = Object.fromEntries(Object.entries(checkpoint()).map(([name, value]) => [`0.${name}`, value]));
  expect(await net.loadStateDict(dict)).toEqual({ missingKeys: [], unexpectedKeys: [] });
  const loading = net.loadStateDict({ ...dict, '1.num_batches_tracked': 3 }, { strict: false });
  expect((await loading).unexpectedKeys).toEqual(['1.num_batches_tracked']);
  delete dict['0.bias'];
  await expect(net.loadStateDict(dict)).rejects.toThrow('Missing key(s) in state_dict: "0.bias"');
});

it.each<[string, () => unknown, string]>([
  ['a wrong rank', () => new FrozenBatchNorm2d(3).forward(tensor(new Float32Array(6), [2, 3])), 'expected 4D input'],
  ['other channels', () => new FrozenBatchNorm1d(3).forward(tensor(new Float32Array(4), [2, 2])), 'not 3'],
  ['no tensor', () => new FrozenBatchNorm1d(3).forward([1] as never), 'to be a Tensor'],
  ['another device', () => new FrozenBatchNorm1d(1).forward(tensor([1], [1, 1], { device: 'cpu:1' })), 'same device'],
  ['a parameter of layers that train', () => new FrozenBatchNorm1d(3, { momentum: 0.1 } as never), "option 'momentum'"],
  ['no channels', () => new FrozenBatchNorm1d(0), 'positive integer'],
])('refuses_%s', async (_, call, text) => {
  await expect(Promise.resolve().then(call)).rejects.toThrow(text);
});

it('takes_one_value_per_channel_and_empty_batches', async () => {
  const frozen = new FrozenBatchNorm1d(1);
  await frozen.loadStateDict({ weight: Float32Array.of(2), bias: Float32Array.of(3) }, { strict: false });
  const one = await (await frozen.forward(tensor([5], [1, 1]))).item();
  expect(one).toBeCloseTo(2 * (5 / Math.sqrt(1 + 1e-5)) + 3, 5);
  expect((await frozen.forward(tensor(new Float32Array(0), [0, 1]))).shape).toEqual([0, 1]);
});

type Step = readonly [y: Float32Array, dx: Float32Array];

async function read(values: Tensor | null): Promise<Float32Array> {
  return (await values?.data()) ?? new Float32Array();
}

async function stateOf(layer: FrozenBatchNorm): Promise<Record<string, readonly number[]>> {
  const entries = Array.from(
    layer.namedBuffers(),
    async ([name, buffer]) => [name, [...(await buffer.data())]] as const,
  );
  return Object.fromEntries(await Promise.all(entries));
}
