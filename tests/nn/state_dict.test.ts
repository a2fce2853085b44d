import {
  BatchNorm1d,
  BatchNorm2d,
  devices,
  Module,
  Parameter,
  Sequential,
  StateDictError,
  tensor,
  Tensor,
  type StateDict,
} from 'syncbn';
import { describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds, deviceNames } from '../support/device_kinds.ts';
import { collectGarbage } from '../support/event_loop.ts';
import { randomArray } from '../support/random.ts';

describe.each(deviceKinds)('state dicts on %s', (kind) => {
  const [device = '', other = ''] = deviceNames(kind, 2);

  const trained = (): Promise<BatchNorm1d> => trainedOn(device);

  it("have PyTorch's keys in PyTorch's order", () => {
    class Net extends Module {
      readonly layer1 = new Sequential(new Sequential(new BatchNorm2d(2)));
      readonly scale = new Parameter(tensor([1]));
      readonly head = new BatchNorm1d(2, { affine: false });
      forward(): void {
        // Its state is the case.
      }
    }
    expect(Object.keys(new Net().stateDict())).toEqual([
      'scale',
      'layer1.0.0.weight',
      'layer1.0.0.bias',
      'layer1.0.0.running_mean',
      'layer1.0.0.running_var',
      'layer1.0.0.num_batches_tracked',
      'head.running_mean',
      'head.running_var',
      'head.num_batches_tracked',
    ]);
  });

  it.each([
    [{ affine: false }, ['running_mean', 'running_var', 'num_batches_tracked']],
    [{ bias: false }, ['weight', 'running_mean', 'running_var', 'num_batches_tracked']],
    [{ trackRunningStats: false }, ['weight', 'bias']],
    [{ affine: false, trackRunningStats: false }, []],
  ])('leave out what a layer with %j does not have', (options, keys) => {
    expect(Object.keys(new BatchNorm1d(3, options).stateDict())).toEqual(keys);
  });

  it('hold the initial state', async () => {
    expect(await valuesOf(new BatchNorm1d(2, { device }).stateDict())).toEqual({
      weight: [1, 1],
      bias: [0, 0],
      running_mean: [0, 0],
      running_var: [1, 1],
      num_batches_tracked: 0,
    });
  });

  it('travel to another layer, whatever device it is on, and back', async () => {
    const source = await trained();
    const target = new BatchNorm1d(3, { device: other });
    const { weight } = target;
    expect(await target.loadStateDict(source.stateDict())).toEqual({ missingKeys: [], unexpectedKeys: [] });
    expect(target.weight).toBe(weight);
    expect(target.weight?.device).toBe(other);
    expect(target.numBatchesTracked).toBe(1);
    expect(await valuesOf(target.stateDict())).toEqual(await valuesOf(source.stateDict()));
  });

  it('are snapshots: training afterwards does not change them', async () => {
    const bn = await trained();
    const dict = bn.stateDict();
    const before = await valuesOf(dict);
    await bn.forward(tensor(randomArray(6, 12), [4, 3], { device }));
    await bn.bias?.copy_(Float32Array.of(7, 7, 7));
    expect(await valuesOf(dict)).toEqual(before);
  });

  it('do not require gradients', () => {
    const { weight } = new BatchNorm1d(3).stateDict();
    expect(weight).toMatchObject({ requiresGrad: false, isLeaf: true });
  });

  it('without a counter, as old checkpoints are, keep the counter', async () => {
    const bn = await trained();
    const old = new BatchNorm1d(3, { device }).stateDict();
    delete old['num_batches_tracked'];
    expect(await bn.loadStateDict(old)).toEqual({ missingKeys: [], unexpectedKeys: [] });
    expect(bn.numBatchesTracked).toBe(1);
    expectSameBits((await bn.weight?.data()) ?? [], [1, 1, 1]);
  });

  it('that do not fit are refused with all that is wrong, and change nothing', async () => {
    const bn = await trained();
    const before = await valuesOf(bn.stateDict());
    const failure: unknown = await bn
      .loadStateDict({ weight: tensor([9, 9, 9, 9]), bias: 3, num_batches_tracked: -1, extra: 5 })
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(StateDictError);
    expect((failure as Error).message).toBe(
      [
        'Error(s) in loading state_dict for BatchNorm1d:',
        'Missing key(s) in state_dict: "running_mean", "running_var".',
        'Unexpected key(s) in state_dict: "extra".',
        'size mismatch for weight: copying a param with shape [4] from checkpoint, the shape in current model is [3].',
        'While copying the parameter named "bias", expected a Tensor or a Float32Array from checkpoint but received a number.',
        'While copying num_batches_tracked, expected a non-negative integer from checkpoint but received -1.',
      ].join('\n\t'),
    );
    expect(failure).toMatchObject({ missingKeys: ['running_mean', 'running_var'], unexpectedKeys: ['extra'] });
    expect(await valuesOf(bn.stateDict())).toEqual(before);
  });

  it('that hold a disposed tensor are refused and change nothing', async () => {
    const bn = await trained();
    const dict = new BatchNorm1d(3, { device }).stateDict();
    (dict['running_var'] as Tensor).dispose();
    const before = await valuesOf(bn.stateDict());
    await collectGarbage();
    const { buffers } = devices.get(device).memoryUsage();
    await expect(bn.loadStateDict(dict)).rejects.toThrow('was disposed');
    expect(await valuesOf(bn.stateDict())).toEqual(before);
    expect(devices.get(device).memoryUsage().buffers).toBeGreaterThanOrEqual(buffers);
  });

  it('are loaded in part when strict is false, and what did not match is told', async () => {
    const bn = await trained();
    const result = await bn.loadStateDict({ bias: tensor([7, 8, 9]), extra: 5 }, { strict: false });
    expect(result).toEqual({ missingKeys: ['weight', 'running_mean', 'running_var'], unexpectedKeys: ['extra'] });
    expectSameBits((await bn.bias?.data()) ?? [], [7, 8, 9]);
    expectSameBits((await bn.weight?.data()) ?? [], [2, 3, 4]);
  });

  it('of another shape are refused also when strict is false', async () => {
    await expect((await trained()).loadStateDict({ bias: tensor([7]) }, { strict: false })).rejects.toThrow(
      'size mismatch for bias',
    );
  });

  it('that are none are refused', async () => {
    const bn = await trained();
    await expect(bn.loadStateDict(null as unknown as StateDict)).rejects.toThrow(
      'Expected state_dict to be dict-like, got null',
    );
    await expect(bn.loadStateDict('x' as unknown as StateDict)).rejects.toThrow(TypeError);
  });

  it.each<[string, (bn: BatchNorm1d) => unknown, string]>([
    ['a promise', (bn) => Promise.resolve(bn.stateDict()), 'got a promise (await it)'],
    ['a Map', (bn) => new Map(Object.entries(bn.stateDict())), 'Object.fromEntries(map) makes an object of it'],
    ['a module', (bn) => bn, 'got a value of class BatchNorm1d; give what stateDict() of a module returns'],
    ['an array', (bn) => Object.values(bn.stateDict()), 'got an array; give an object with tensors'],
    ['bytes of a file', () => new Uint8Array(8), 'got a value of class Uint8Array; give an object with tensors'],
  ])('that are %s are refused also when strict is false, which would load nothing', async (_, dict, text) => {
    const bn = await trained();
    await expect(bn.loadStateDict(dict(bn) as never, { strict: false })).rejects.toThrow(text);
  });

  it.each([[Float64Array.of(1, 2)], [[1, 2]]])('with values as %o are told how to convert them', async (weight) => {
    const bn = new BatchNorm1d(2);
    const loading = bn.loadStateDict({ ...bn.stateDict(), weight } as never);
    await expect(loading).rejects.toThrow('convert it with Float32Array.from()');
  });

  it('give a shared layer both of its keys', () => {
    const shared = new BatchNorm1d(1, { affine: false, trackRunningStats: true });
    expect(Object.keys(new Sequential(shared, shared).stateDict())).toEqual([
      '0.running_mean',
      '0.running_var',
      '0.num_batches_tracked',
      '1.running_mean',
      '1.running_var',
      '1.num_batches_tracked',
    ]);
  });
});

describe('state dicts, whatever the device', () => {
  const [device, other] = ['cpu:0', 'cpu:1'];
  const trained = (): Promise<BatchNorm1d> => trainedOn(device);

  it.each<[string, () => unknown]>([
    ['a BigInt', () => 7n],
    ['a tensor without dimensions', () => tensor(7)],
    ['a tensor of one element', () => tensor([7], [1], { device: other })],
    ['the array of a 64-bit integer', () => BigInt64Array.of(7n)],
    ['an array of one number', () => Float32Array.of(7)],
  ])('may hold a counter as %s', async (_, counter) => {
    const bn = await trained();
    await bn.loadStateDict({ num_batches_tracked: counter() as number }, { strict: false });
    expect(bn.numBatchesTracked).toBe(7);
  });

  it.each<[string, () => unknown, string]>([
    ['a negative BigInt', () => -1n, 'received -1'],
    ['a tensor of a fraction', () => tensor([0.5]), 'received 0.5'],
    ['a tensor of two elements', () => tensor([1, 2]), 'received a value of class Tensor'],
    ['a BigInt that no number holds', () => 2n ** 60n, 'received 1152921504606846976'],
    ['a string', () => '7', 'received a string'],
    ['null', () => null, 'received null'],
  ])('may not hold a counter as %s, and then nothing changes', async (_, counter, text) => {
    const bn = await trained();
    const before = await valuesOf(bn.stateDict());
    const source = counter() as number;
    await collectGarbage();
    const { buffers } = devices.get(device).memoryUsage();
    const dict = { weight: Float32Array.of(5, 5, 5), num_batches_tracked: source };
    const error: unknown = await bn.loadStateDict(dict, { strict: false }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(StateDictError);
    expect((error as Error).message).toContain(`expected a non-negative integer from checkpoint but ${text}`);
    expect(devices.get(device).memoryUsage().buffers).toBeLessThanOrEqual(buffers);
    expect(await valuesOf(bn.stateDict())).toEqual(before);
  });

  it('may hold values as arrays of the right length, which are those of the call', async () => {
    const bn = await trained();
    const weight = Float32Array.of(5, 6, 7);
    const loaded = bn.loadStateDict({ weight }, { strict: false });
    weight.fill(0);
    await loaded;
    expectSameBits((await bn.weight?.data()) ?? [], [5, 6, 7]);
    await expect(bn.loadStateDict({ weight: Float32Array.of(1, 2) }, { strict: false })).rejects.toThrow(
      'size mismatch for weight: copying a param with shape [2] from checkpoint, the shape in current model is [3]',
    );
  });

  it('give a channels-last parameter its values in logical order', async () => {
    class Kernel extends Module {
      readonly kernel = new Parameter(tensor(new Float32Array(12), [1, 2, 2, 3], { memoryFormat: 'channels_last' }));
      forward(): void {
        // Its state is the case.
      }
    }
    const module = new Kernel();
    const values = randomArray(8, 12);
    await module.loadStateDict({ kernel: values });
    expectSameBits(await module.kernel.data(), values);
  });

  it('are read once, so that getters cannot give one value to the check and another to the module', async () => {
    const bn = await trained();
    let reads = 0;
    const dict = {
      get weight() {
        reads += 1;
        return reads === 1 ? Float32Array.of(1, 2, 3) : Float32Array.of(1, 2, 3, 4);
      },
    };
    await bn.loadStateDict(dict, { strict: false });
    expect(reads).toBe(1);
    expectSameBits((await bn.weight?.data()) ?? [], [1, 2, 3]);
  });

  it('take no copy_, which would not reach the module, and say where to write instead', async () => {
    const bn = await trained();
    const weight = bn.stateDict()['weight'] as Tensor;
    await expect(weight.copy_(Float32Array.of(9, 9, 9))).rejects.toThrow('namedParameters()');
    const copy = weight.detach();
    await copy.copy_(Float32Array.of(9, 9, 9));
    expectSameBits((await bn.weight?.data()) ?? [], [2, 3, 4]);
    // The way of moving averages.
    for (const [, parameter] of bn.namedParameters()) await parameter.copy_(Float32Array.of(1, 1, 1));
    for (const [, buffer] of bn.namedBuffers()) await buffer.copy_(Float32Array.of(3, 3, 3));
    expect(await valuesOf(bn.stateDict())).toMatchObject({ weight: [1, 1, 1], running_var: [3, 3, 3] });
  });

  it.each<[string, (net: Module & Record<string, unknown>) => void, string]>([
    [
      'a name with dots',
      (net) => {
        net['a.b'] = new BatchNorm1d(1);
        net['a'] = new Sequential();
        Object.assign(net['a'] as object, { b: new BatchNorm1d(1) });
      },
      'a.b.weight',
    ],
    [
      'a buffer named as a parameter',
      (net) => {
        net['scale'] = new Parameter(tensor([1]));
        net.registerBuffer('scale', tensor([2]), 'other');
      },
      'scale',
    ],
    [
      'an empty name',
      (net) => {
        net['weight'] = new Parameter(tensor([1]));
        net[''] = new BatchNorm1d(1);
      },
      'weight',
    ],
  ])('have one key for one value: %s is refused', async (_, build, key) => {
    const net = new Sequential() as Module as Module & Record<string, unknown>;
    build(net);
    const text = `got two with the key "${key}"`;
    expect(() => net.stateDict()).toThrow(text);
    await expect(net.loadStateDict({}, { strict: false })).rejects.toThrow(text);
  });
});

/** A layer that has seen a batch. */
async function trainedOn(device: string): Promise<BatchNorm1d> {
  const bn = new BatchNorm1d(3, { device });
  await bn.forward(tensor(randomArray(5, 12), [4, 3], { device }));
  await bn.weight?.copy_(Float32Array.of(2, 3, 4));
  return bn;
}

async function valuesOf(dict: StateDict): Promise<Record<string, unknown>> {
  const entries = Object.entries(dict).map(async ([key, value]) => {
    return [key, value instanceof Tensor ? [...(await value.data())] : value] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}
