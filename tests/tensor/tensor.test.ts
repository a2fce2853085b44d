import {
  devices,
  DeviceMismatchError,
  DisposedError,
  init,
  Parameter,
  tensor,
  Tensor,
  UnknownDeviceError,
} from 'syncbn';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds, deviceNames } from '../support/device_kinds.ts';
import { freshDevice } from '../support/fresh_device.ts';
import { randomArray } from '../support/random.ts';
import { scale } from '../support/operations.ts';

describe.each(deviceKinds)('a tensor on %s', (kind) => {
  const [device = '', other = ''] = deviceNames(kind, 2);

  beforeAll(() => init([device, other]));

  function plain(...values: number[]): Tensor {
    return tensor(values, [values.length], { device });
  }

  it('moves to another device with its format, and stays where it is', async () => {
    const values = randomArray(2, 24);
    const x = tensor(values, [2, 3, 4], { device, memoryFormat: 'channels_last' });
    const moved = await x.to(other);
    expect(moved).toMatchObject({ device: other, memoryFormat: 'channels_last', shape: [2, 3, 4] });
    expectSameBits(await moved.data(), values);
    expectSameBits(await x.data(), values);
  });

  it('is disposed by a move when it was donated, and not before', async () => {
    const x = plain(1, 2).donate();
    await expect(x.to('cpu:99')).rejects.toThrow(UnknownDeviceError);
    expect(x.isDisposed).toBe(false);
    const moved = await x.to(other);
    expect(x.isDisposed).toBe(true);
    expectSameBits(await moved.data(), [1, 2]);
  });

  it('is itself on the device it is on', async () => {
    const x = plain(1);
    expect(await x.to(device)).toBe(x);
  });

  it('detaches: same values, no graph', async () => {
    const x = tensor([1, 2], [2], { device, requiresGrad: true });
    const y = await scale(x, 2);
    const cut = y.detach();
    expect(cut).toMatchObject({ isLeaf: true, requiresGrad: false });
    y.dispose();
    expectSameBits(await cut.data(), [2, 4]);
  });

  it('copies values in place from a host array, and from a tensor of any device and format', async () => {
    const values = randomArray(3, 24);
    const x = tensor(new Float32Array(24), [2, 3, 4], { device });
    expect(await x.copy_(values)).toBe(x);
    expectSameBits(await x.data(), values);
    const others = randomArray(4, 24);
    await x.copy_(tensor(others, [2, 3, 4], { device: other, memoryFormat: 'channels_last' }));
    expectSameBits(await x.data(), others);
    expect(x).toMatchObject({ device, memoryFormat: 'contiguous' });
  });

  it('keeps what the graph has saved when its values are replaced', async () => {
    const x = tensor([2], [1], { device, requiresGrad: true });
    const y = await scale(x, 3);
    await x.copy_(Float32Array.of(100));
    await y.backward(plain(1));
    expectSameBits((await x.grad?.data()) ?? [], [3]);
    expectSameBits(await x.data(), [100]);
  });

  it.each([
    ['values of another number', () => new Float32Array(3), RangeError, 'expected 2 values for shape [2], got 3'],
    ['a tensor of another shape', () => plain(1, 2, 3), RangeError, 'expected shape [2], got [3]'],
    ['a number', () => 1, TypeError, 'expected a Tensor or a typed array of numbers, got a number'],
  ])('refuses to copy %s and keeps its own', async (_, source, type, text) => {
    const x = plain(5, 6);
    const attempt = x.copy_(source() as Tensor);
    await expect(attempt).rejects.toThrow(type);
    await expect(attempt).rejects.toThrow(text);
    expectSameBits(await x.data(), [5, 6]);
  });

  it('refuses to replace the values of a recorded result', async () => {
    const y = await scale(tensor([1], [1], { device, requiresGrad: true }), 2);
    await expect(y.copy_(Float32Array.of(1))).rejects.toThrow('expected a leaf tensor');
  });

  it('gives its one value, and refuses when there are none or more', async () => {
    expect(await plain(4).item()).toBe(4);
    await expect(plain(1, 2).item()).rejects.toThrow('expected a tensor of one element, got shape [2]');
    await expect(plain().item()).rejects.toThrow('expected a tensor of one element, got shape [0]');
  });

  it('changes whether a leaf requires a gradient, and not whether a result does', async () => {
    const x = plain(1);
    x.requiresGrad = true;
    const y = await scale(x, 2);
    expect(y.requiresGrad).toBe(true);
    expect(() => (y.requiresGrad = false)).toThrow('you can only change requiresGrad of leaf tensors');
    expect(() => (x.requiresGrad = 1 as unknown as boolean)).toThrow(TypeError);
    expect(x.requiresGrad).toBe(true);
  });

  it.each([
    ['a number', () => 1, TypeError, 'grad: expected a Tensor or null, got a number'],
    ['a tensor of another shape', () => plain(1, 2), RangeError, 'grad: expected shape [1], got [2]'],
    ['a tensor elsewhere', () => tensor([1], [1], { device: other }), DeviceMismatchError, other],
  ])('refuses %s for a gradient', (_, value, type, text) => {
    const x = plain(1);
    expect(() => (x.grad = value() as Tensor)).toThrow(type);
    expect(() => (x.grad = value() as Tensor)).toThrow(text);
    expect(x.grad).toBeNull();
  });

  it('takes a gradient of another memory format and adds to it', async () => {
    const x = tensor(new Float32Array(8), [2, 2, 2], { device, requiresGrad: true });
    const given = randomArray(1, 8);
    x.grad = tensor(given, [2, 2, 2], { device, memoryFormat: 'channels_last' });
    await x.backward(tensor(given, [2, 2, 2], { device }));
    expect(x.grad.memoryFormat).toBe('channels_last');
    expectSameBits(
      await x.grad.data(),
      given.map((value) => 2 * value),
    );
  });

  it('says what it is', () => {
    const x = tensor([1, 2], [1, 2], { device, requiresGrad: true });
    expect(String(x)).toBe(`Tensor([1, 2], ${device}, requiresGrad)`);
    x.dispose();
    expect(String(x)).toBe('Tensor([1, 2], disposed, requiresGrad)');
  });

  it.each([
    ['data', (x: Tensor) => x.data()],
    ['item', (x: Tensor) => x.item()],
    ['to', (x: Tensor) => x.to(other)],
    ['copy_', (x: Tensor) => x.copy_(Float32Array.of(1))],
    ['being copied', (x: Tensor) => plain(1).copy_(x)],
    ['backward', (x: Tensor) => x.backward()],
    ['being a gradient', (x: Tensor) => tensor([1], [1], { device, requiresGrad: true }).backward(x)],
    ['a function', (x: Tensor) => scale(x, 2)],
    // eslint-disable-next-line @typescript-eslint/require-await -- What throws at once is to be seen as a rejection.
    ['detach', async (x: Tensor) => x.detach()],
    // eslint-disable-next-line @typescript-eslint/require-await -- As above.
    ['a parameter', async (x: Tensor) => new Parameter(x)],
  ])('refuses %s once it is disposed', async (_, use) => {
    const x = plain(1);
    x.dispose();
    await expect(use(x)).rejects.toThrow(DisposedError);
  });

  it('can be disposed twice', async () => {
    const fresh = await freshDevice(kind);
    const x = tensor([1], [1], { device: fresh });
    const view = x.detach();
    x.dispose();
    x.dispose();
    expect(devices.get(fresh).memoryUsage().buffers).toBe(1);
    view.dispose();
    expect(devices.get(fresh).memoryUsage().buffers).toBe(0);
  });

  it('is disposed by `using`', async () => {
    const fresh = await freshDevice(kind);
    {
      using x = tensor([1], [1], { device: fresh });
      expect(x.isDisposed).toBe(false);
    }
    expect(devices.get(fresh).memoryUsage().buffers).toBe(0);
  });

  it('refuses to move to a device that is none', async () => {
    await expect(plain(1).to('gpu')).rejects.toThrow(UnknownDeviceError);
  });

  it('tells of the devices that do not meet', async () => {
    const x = tensor([1], [1], { device, requiresGrad: true });
    const attempt = x.backward(tensor([1], [1], { device: other }));
    await expect(attempt).rejects.toMatchObject({ devices: [device, other], operation: 'backward()' });
    await expect(attempt).rejects.toBeInstanceOf(DeviceMismatchError);
  });
});

describe('a parameter', () => {
  it('requires a gradient unless told otherwise', () => {
    expect(new Parameter(tensor([1])).requiresGrad).toBe(true);
    expect(new Parameter(tensor([1]), false).requiresGrad).toBe(false);
    expect(new Parameter(tensor([1]))).toBeInstanceOf(Tensor);
  });

  it('alone holds the memory of a tensor that was donated to it', async () => {
    const initial = tensor([1, 2]).donate();
    const weight = new Parameter(initial);
    expect(initial.isDisposed).toBe(true);
    expectSameBits(await weight.data(), [1, 2]);
  });

  it.each([[1], [null], [Float32Array.of(1)]])('is not made of %o', (data) => {
    expect(() => new Parameter(data as unknown as Tensor)).toThrow('expected a Tensor');
  });
});
