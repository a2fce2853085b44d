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

  /** A layer that has seen a batch. */
  async function trained(): Promise<BatchNorm1d> {
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
        'While copying the parameter named "bias", expected a Tensor from checkpoint but received a number.',
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
