import { DataParallelWithCallBack, init, tensor, UnknownDeviceError, type Tensor } from 'syncbn';
import { beforeAll, describe, expect, it } from 'vitest';
import { deviceKinds, deviceNames } from '../support/device_kinds.ts';
import { Recorder } from './modules.ts';

describe.each(deviceKinds)('inputs are scattered on %s', (kind) => {
  const names = deviceNames(kind, 8);
  const [device = '', second = '', third = ''] = names;

  beforeAll(() => init(names));

  function batch(...shape: number[]): Tensor {
    const length = shape.reduce((product, size) => product * size, 1);
    return tensor(
      Float32Array.from({ length }, (_, i) => i),
      shape,
      { device },
    );
  }

  function wrap(recorder: Recorder, devices: number, dim = 0): DataParallelWithCallBack<Recorder> {
    return new DataParallelWithCallBack(recorder, { deviceIds: names.slice(0, devices), dim });
  }

  it.each([
    [8, 9, [2, 2, 2, 2, 1]],
    [8, 10, [2, 2, 2, 2, 2]],
    [8, 17, [3, 3, 3, 3, 3, 2]],
    [4, 9, [3, 3, 3]],
    [4, 10, [3, 3, 3, 1]],
    [4, 3, [1, 1, 1]],
    [3, 1, [1]],
    [3, 0, [0]],
  ])('into chunks of ceil(B/k): %d devices, %d samples', async (devices, samples, chunks) => {
    const recorder = new Recorder();
    await wrap(recorder, devices).forward(batch(samples, 2));
    expect(recorder.shapes).toEqual(chunks.map((chunk) => [chunk, 2]));
  });

  it.each([
    [
      1,
      [
        [2, 2, 3],
        [2, 2, 3],
      ],
    ],
    [
      -1,
      [
        [2, 4, 2],
        [2, 4, 1],
      ],
    ],
  ])('along dimension %d', async (dim, shapes) => {
    const recorder = new Recorder();
    const y = (await wrap(recorder, 2, dim).forward(batch(2, 4, 3))) as Tensor;
    expect(recorder.shapes).toEqual(shapes);
    expect([...(await y.data())]).toEqual([...(await batch(2, 4, 3).data())]);
  });

  it('in order of samples, each chunk on its device, whatever the device of the input', async () => {
    const seen: [string, number[]][] = [];
    const recorder = new Recorder(async ({ replica, inputs }) => {
      const x = inputs[0] as Tensor;
      seen[replica] = [x.device, [...(await x.data())]];
      return x;
    });
    const x = tensor([1, 2, 3, 4, 5], [5, 1], { device: third });
    await wrap(recorder, 2).forward(x);
    expect(seen).toEqual([
      [device, [1, 2, 3]],
      [second, [4, 5]],
    ]);
  });

  it('keeping their memory format', async () => {
    const formats: string[] = [];
    const recorder = new Recorder(({ inputs }) => {
      const x = inputs[0] as Tensor;
      formats.push(x.memoryFormat);
      return x;
    });
    const data = Float32Array.from({ length: 24 }, (_, i) => i);
    for (const dim of [0, 1, 2]) {
      const x = tensor(data, [2, 3, 4], { device, memoryFormat: 'channels_last' });
      const y = (await wrap(recorder, 2, dim).forward(x)) as Tensor;
      expect(y.memoryFormat).toBe('channels_last');
      expect(await y.data()).toEqual(data);
    }
    expect(new Set(formats)).toEqual(new Set(['channels_last']));
  });

  it('inside arrays and plain objects, and shared by reference when they are anything else', async () => {
    const shared = [new Map(), 7, 'text', null, [], { depth: 1 }, batch];
    const recorder = new Recorder();
    await wrap(recorder, 2).forward(batch(4), { pair: [batch(2, 3), 5] }, ...shared);
    for (const { replica, inputs } of recorder.calls) {
      const [x, nested, ...others] = inputs as [Tensor, { pair: [Tensor, number] }];
      expect(x.shape).toEqual([2]);
      expect(nested.pair[0].shape).toEqual([1, 3]);
      expect(nested.pair[1]).toBe(5);
      expect(replica).toBeLessThan(2);
      others.forEach((other, i) => expect(other).toBe(shared[i]));
    }
    expect(recorder.calls).toHaveLength(2);
  });

  it('to every device when there is no tensor, and to one when there is no input', async () => {
    const recorder = new Recorder(() => null);
    await wrap(recorder, 3).forward('mode');
    expect(recorder.calls.map(({ inputs }) => inputs)).toEqual([['mode'], ['mode'], ['mode']]);
    recorder.calls.length = 0;
    await wrap(recorder, 3).forward();
    expect(recorder.calls.map(({ inputs }) => inputs)).toEqual([[]]);
  });

  it('once when they are given twice', async () => {
    const x = batch(4, 1);
    const recorder = new Recorder(({ inputs }) => {
      expect(inputs[0]).toBe(inputs[1]);
      return null;
    });
    await wrap(recorder, 2).forward(x, x);
    expect(recorder.calls).toHaveLength(2);
  });

  it('and a donated one is gone afterwards', async () => {
    const x = batch(4, 1).donate();
    await wrap(new Recorder(), 2).forward(x);
    expect(x.isDisposed).toBe(true);
  });

  it('unless two give different numbers of chunks, of which PyTorch would lose some', async () => {
    const recorder = new Recorder();
    await expect(wrap(recorder, 4).forward(batch(8), batch(3))).rejects.toThrow(
      /same number of chunks along dimension 0, got 4 from shape \[8\] and 3 from shape \[3\] for 4 devices/,
    );
    expect(recorder.calls).toHaveLength(0);
  });

  it('unless they lack the dimension', async () => {
    await expect(wrap(new Recorder(), 2).forward(tensor([1], [], { device }))).rejects.toThrow(
      'Dimension out of range',
    );
    await expect(wrap(new Recorder(), 2, 2).forward(batch(4, 2))).rejects.toThrow(RangeError);
  });

  it('unless they contain themselves', async () => {
    const circular: unknown[] = [batch(4)];
    circular.push(circular);
    await expect(wrap(new Recorder(), 2).forward(circular)).rejects.toThrow('do not contain themselves');
  });

  it.each([
    ['no device', [], 'expected at least one device'],
    ['a device named twice', ['cpu', 'cpu:0'], 'got cpu:0 twice'],
    ['a device that does not exist', ['cpu:0', 'tpu:0'], 'unknown device "tpu:0"'],
    ['what is no array', 'cpu:0', "expected an array of device names such as ['cpu:0', 'cpu:1'], got a string"],
    // eslint-disable-next-line no-sparse-arrays -- the hole is the case
    ['an array with a hole', ['cpu:0', , 'cpu:1'], "expected a device name such as 'cpu:0', got undefined"],
  ])('unless deviceIds is %s', (_, deviceIds, message) => {
    expect(() => new DataParallelWithCallBack(new Recorder(), { deviceIds: deviceIds as string[] })).toThrow(message);
  });

  it('and outputDevice must exist, dim must be an integer', () => {
    expect(() => new DataParallelWithCallBack(new Recorder(), { outputDevice: 'tpu' })).toThrow(UnknownDeviceError);
    expect(() => new DataParallelWithCallBack(new Recorder(), { dim: 0.5 })).toThrow(TypeError);
  });
});
