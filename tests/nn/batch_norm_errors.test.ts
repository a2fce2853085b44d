/** Every wrong argument of the layers ends in one error at the call, with the state unchanged: semantics, section 1. */

import {
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  type BatchNorm,
  type BatchNormOptions,
  DeviceMismatchError,
  devices,
  DisposedError,
  functional,
  OutOfMemoryError,
  Parameter,
  tensor,
  type Tensor,
  UnknownDeviceError,
} from 'syncbn';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { elementCount } from '../../ts/tensor/shape.ts';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds, deviceNames } from '../support/device_kinds.ts';
import { collectGarbage } from '../support/event_loop.ts';
import { randomArray } from '../support/random.ts';

describe.each(deviceKinds)('a batch norm layer on %s', (kind) => {
  const [device = '', other = ''] = deviceNames(kind, 2);

  // What earlier tests have left would, if it were collected later, leave more room than a limit is to grant.
  beforeEach(collectGarbage);
  afterEach(() => {
    devices.get(device).memoryLimit = Infinity;
  });

  function batch(...shape: number[]): Tensor {
    return tensor(randomArray(1, elementCount(shape)), shape, { device });
  }

  async function stateOf(bn: BatchNorm): Promise<unknown> {
    const vectors = [bn.runningMean, bn.runningVar, bn.weight, bn.bias];
    return [
      bn.numBatchesTracked,
      ...(await Promise.all(vectors.map(async (vector) => [...((await vector?.data()) ?? [])]))),
    ];
  }

  /** Fails unless the call is refused and nothing has changed. */
  async function expectRefusal(
    bn: BatchNorm,
    x: Tensor,
    type: new (...args: never[]) => Error,
    text: string,
  ): Promise<void> {
    const before = await stateOf(bn);
    const buffers = devices.get(device).memoryUsage().buffers;
    const failure: unknown = await bn.forward(x).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(type);
    expect((failure as Error).message).toContain(text);
    // Not fewer than nothing lost: the garbage collector may take what earlier tests have left.
    expect(devices.get(device).memoryUsage().buffers).toBeLessThanOrEqual(buffers);
    expect(await stateOf(bn)).toEqual(before);
  }

  it.each([
    [
      BatchNorm1d,
      [2, 8, 3, 3],
      'expected 2D or 3D input (got 4D input): expected (N, C) or (N, C, L), got shape [2, 8, 3, 3]',
    ],
    [BatchNorm1d, [8], 'expected 2D or 3D input (got 1D input)'],
    [BatchNorm2d, [2, 8, 3], 'expected 4D input (got 3D input): expected (N, C, H, W), got shape [2, 8, 3]'],
    [BatchNorm2d, [2, 8, 3, 3, 3], 'expected 4D input (got 5D input)'],
    [BatchNorm3d, [2, 8, 3, 3], 'expected 5D input (got 4D input): expected (N, C, D, H, W), got shape [2, 8, 3, 3]'],
    [BatchNorm3d, [], 'expected 5D input (got 0D input)'],
  ])('refuses another rank: %o of %j', async (Layer, shape, text) => {
    await expectRefusal(new Layer(8, { device }), batch(...shape), RangeError, text);
    await expectRefusal(new Layer(8, { device }).eval(), batch(...shape), RangeError, text);
  });

  it.each([
    [{}, 16, 'running_mean should contain 16 elements not 8: the input has shape [2, 16, 3]'],
    [{}, 4, 'running_mean should contain 4 elements not 8'],
    [{ trackRunningStats: false }, 16, 'weight should contain 16 elements not 8'],
    [
      { trackRunningStats: false, affine: false },
      16,
      'expected an input of 8 channels (numFeatures), got shape [2, 16, 3]',
    ],
  ])('with %j refuses %d channels instead of 8', async (options, channels, text) => {
    await expectRefusal(new BatchNorm1d(8, { ...options, device }), batch(2, channels, 3), RangeError, text);
  });

  it.each(['weight', 'bias'] as const)('refuses a %s that was replaced by one of another length', async (name) => {
    const bn = new BatchNorm1d(3, { device });
    bn[name] = new Parameter(tensor([1, 2], [2], { device }));
    await expectRefusal(bn, batch(4, 3), RangeError, `${name} should contain 3 elements not 2`);
    bn[name] = new Parameter(tensor([1, 2, 3], [3, 1], { device }));
    await expectRefusal(bn, batch(4, 3), RangeError, `${name} should contain 3 elements not shape [3, 1]`);
  });

  it.each([[[1, 8, 1, 1]], [[1, 8]], [[1, 8, 1]]])(
    'refuses one value per channel in training, and takes it in evaluation: %j',
    async (shape) => {
      const bn = shape.length < 4 ? new BatchNorm1d(8, { device }) : new BatchNorm2d(8, { device });
      const text = `Expected more than 1 value per channel when training, got input size [${shape.join(', ')}]`;
      await expectRefusal(bn, batch(...shape), RangeError, text);
      bn.eval();
      expect((await bn.forward(batch(...shape))).shape).toEqual(shape);
    },
  );

  it.each([[[2, 8, 1, 1]], [[1, 8, 2, 1]]])('takes two values per channel: %j', async (shape) => {
    const y = await new BatchNorm2d(8, { device }).forward(batch(...shape));
    expect([...(await y.data())].every(Number.isFinite)).toBe(true);
  });

  it.each([
    [0, 'batch_norm eps must be positive during training, but got 0'],
    [-1, 'batch_norm eps must be positive during training, but got -1'],
    [Number.NaN, 'batch_norm eps must be positive during training, but got NaN'],
    [Infinity, 'batch_norm eps must be positive during training, but got Infinity'],
  ])('refuses eps = %d in training', async (eps, text) => {
    const bn = new BatchNorm1d(3, { device });
    bn.eps = eps;
    await expectRefusal(bn, batch(4, 3), RangeError, text);
  });

  it('takes eps = 0 in evaluation and refuses a negative one', async () => {
    const bn = new BatchNorm1d(3, { device, eps: 0 });
    bn.eval();
    const x = batch(4, 3);
    expectSameBits(await (await bn.forward(x)).data(), await x.data());
    bn.eps = -1e-5;
    await expectRefusal(bn, x, RangeError, 'batch_norm eps must be non-negative, but got -0.00001');
  });

  it.each([
    ['eps', '1', TypeError, 'expected eps to be a number, got a string'],
    ['momentum', Number.NaN, RangeError, 'expected momentum to be a finite number or null, got NaN'],
    ['momentum', '0.1', TypeError, 'expected momentum to be a number or null, got a string'],
    ['numerics', 'fast', TypeError, "expected numerics to be 'stable' or 'torch', got fast"],
  ] as const)('refuses %s = %o that was set after construction', async (name, value, type, text) => {
    const bn = new BatchNorm1d(3, { device });
    Object.assign(bn, { [name]: value });
    await expectRefusal(bn, batch(4, 3), type, text);
  });

  it.each([
    [{ eps: -1 }, RangeError, 'batch_norm eps must be non-negative, but got -1'],
    [{ eps: '1' }, TypeError, 'expected eps to be a number'],
    [{ momentum: Number.NaN }, RangeError, 'finite number or null, got NaN'],
    [{ momentum: true }, TypeError, 'expected momentum to be a number or null, got a boolean'],
    [{ affine: 1 }, TypeError, 'affine: expected a boolean, got a number'],
    [{ bias: 'no' }, TypeError, 'bias: expected a boolean, got a string'],
    [{ trackRunningStats: null }, TypeError, 'trackRunningStats: expected a boolean, got null'],
    [{ numerics: 'exact' }, TypeError, "'stable' or 'torch', got exact"],
    [{ device: 'tpu' }, UnknownDeviceError, 'unknown device "tpu": expected one of cpu'],
  ])('is not made with %j', (options, type, text) => {
    const make = (): unknown => new BatchNorm2d(3, options as BatchNormOptions);
    expect(make).toThrow(type);
    expect(make).toThrow(text);
  });

  it.each([
    [0, RangeError, 'numFeatures: expected a positive integer, got 0'],
    [2.5, RangeError, 'numFeatures: expected a positive integer, got 2.5'],
    [Number.NaN, RangeError, 'got NaN'],
    ['3', TypeError, 'numFeatures: expected a number, got a string'],
    [undefined, TypeError, 'numFeatures: expected a number, got undefined'],
  ])('is not made with numFeatures = %o', (numFeatures, type, text) => {
    const make = (): unknown => new BatchNorm2d(numFeatures as number);
    expect(make).toThrow(type);
    expect(make).toThrow(text);
  });

  it.each([[null], [3], [Float32Array.of(1)], [undefined]])('refuses %o for an input', async (x) => {
    await expect(new BatchNorm1d(3).forward(x as unknown as Tensor)).rejects.toThrow(
      'expected the input to be a Tensor',
    );
  });

  it('refuses a weight that is no tensor, or was disposed', async () => {
    const bn = new BatchNorm1d(3, { device });
    bn.weight?.dispose();
    await expect(bn.forward(batch(4, 3))).rejects.toThrow(DisposedError);
    bn.weight = 1 as unknown as Parameter;
    await expect(bn.forward(batch(4, 3))).rejects.toThrow('expected weight to be a Tensor, got a number');
    expect(bn.numBatchesTracked).toBe(0);
  });

  it('refuses an input that was disposed', async () => {
    const x = batch(4, 3);
    x.dispose();
    await expectRefusal(new BatchNorm1d(3, { device }), x, DisposedError, 'of shape [4, 3] was disposed');
  });

  it('refuses an input that is elsewhere, and says where', async () => {
    const text = `expected all tensors to be on the same device, but found at least two devices, ${device} and ${other}`;
    await expectRefusal(new BatchNorm1d(3, { device: other }), batch(4, 3), DeviceMismatchError, text);
  });

  it('refuses one of the running statistics without the other', async () => {
    const bn = new BatchNorm1d(3, { device });
    bn.runningVar = null;
    await expectRefusal(bn, batch(4, 3), RangeError, 'expected running_mean and running_var, or neither');
  });

  it.each([0, 8000, 20_000, 24_000])(
    'is unchanged when there are %d bytes left for the 28,000 it needs',
    async (bytes) => {
      const bn = new BatchNorm1d(1000, { device });
      const x = batch(2, 1000);
      devices.get(device).memoryLimit = devices.get(device).memoryUsage().bytesInUse + bytes;
      await expectRefusal(bn, x, OutOfMemoryError, 'out of memory on device');
      devices.get(device).memoryLimit = Infinity;
      expect((await bn.forward(x)).shape).toEqual([2, 1000]);
    },
  );

  it('can run its backward pass again after one for which there was no room', async () => {
    const bn = new BatchNorm1d(1000, { device });
    const x = batch(2, 1000);
    x.requiresGrad = true;
    const y = await bn.forward(x);
    const dy = batch(2, 1000);
    devices.get(device).memoryLimit = devices.get(device).memoryUsage().bytesInUse + 9000;
    const { buffers } = devices.get(device).memoryUsage();
    await expect(y.backward(dy)).rejects.toThrow(OutOfMemoryError);
    expect(devices.get(device).memoryUsage().buffers).toBeLessThanOrEqual(buffers);
    expect([x.grad, bn.weight?.grad, bn.bias?.grad]).toEqual([null, null, null]);
    devices.get(device).memoryLimit = Infinity;
    await y.backward(dy);
    expect(bn.bias?.grad?.shape).toEqual([1000]);
  });

  it('propagates values that are not finite to their channel alone', async () => {
    const values = randomArray(1, 3 * 8);
    values[1] = Number.NaN;
    values[5] = Infinity;
    const bn = new BatchNorm1d(3, { device });
    const y = await (await bn.forward(tensor(values, [8, 3], { device }))).data();
    const isFinite = [0, 1, 2].map((channel) => y.filter((_, i) => i % 3 === channel).every(Number.isFinite));
    expect(isFinite).toEqual([true, false, false]);
    expect([...((await bn.runningMean?.data()) ?? [])].map(Number.isFinite)).toEqual([true, false, false]);
  });
});

describe('functional.batchNorm()', () => {
  const vector = (length: number): Tensor => tensor(new Float32Array(length).fill(1));
  const x = tensor(randomArray(2, 40), [2, 10, 2]);

  it.each([9, 11])('refuses each of the four vectors when it has %d elements instead of 10', async (length) => {
    const right = vector(10);
    const wrong = vector(length);
    const text = (name: string): string => `${name} should contain 10 elements not ${length}`;
    const { batchNorm } = functional;
    await expect(batchNorm(x, wrong, right)).rejects.toThrow(text('running_mean'));
    await expect(batchNorm(x, right, wrong)).rejects.toThrow(text('running_var'));
    await expect(batchNorm(x, right, right, { weight: wrong })).rejects.toThrow(text('weight'));
    await expect(batchNorm(x, right, right, { bias: wrong })).rejects.toThrow(text('bias'));
    expect((await batchNorm(x, right, right, { weight: right, bias: right })).shape).toEqual([2, 10, 2]);
  });

  it('refuses evaluation without running statistics, and one of them alone', async () => {
    await expect(functional.batchNorm(x, null, null)).rejects.toThrow(
      'running_mean must be defined in evaluation mode',
    );
    await expect(functional.batchNorm(x, vector(10), null, { training: true })).rejects.toThrow('got one of them');
  });

  it('refuses less than two dimensions, and one value per channel', async () => {
    await expect(functional.batchNorm(tensor([1, 2]), null, null, { training: true })).rejects.toThrow(
      'expected at least 2D input',
    );
    const single = tensor(new Float32Array(10), [1, 10, 1]);
    await expect(functional.batchNorm(single, null, null, { training: true })).rejects.toThrow(
      'Expected more than 1 value',
    );
  });
});
