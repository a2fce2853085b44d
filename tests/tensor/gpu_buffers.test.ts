/** Buffers of other engines: when their owners get them back, of which sizes they may be, several at once, and without waiting. */

import {
  BatchNorm1d,
  DeviceMismatchError,
  devices,
  init,
  NotInitializedError,
  tensor,
  tensorFromGPUBuffer,
  tensorFromGPUBufferSync,
  tensorsFromGPUBuffers,
  type GpuBufferOptions,
  type Tensor,
} from 'syncbn';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { collectUntil, settled } from '../support/event_loop.ts';
import { freshDevice } from '../support/fresh_device.ts';
import { randomArray } from '../support/random.ts';

const device = 'webgpu:0';
const shape = [4, 1];
const values = Float32Array.of(1, 2, 4, 9);

beforeAll(() => init(['cpu', device, 'webgpu:1']));

/** A buffer of another engine, of these values and not a byte more. */
function bufferOf(data: Float32Array, owner: string = device, usage: number = 0x80 | 0x4 | 0x8): GPUBuffer {
  const { gpuDevice } = devices.get(owner as 'webgpu:0');
  const buffer = gpuDevice.createBuffer({ size: data.byteLength, usage });
  gpuDevice.queue.writeBuffer(buffer, 0, Float32Array.from(data));
  return buffer;
}

class Owner {
  releases = 0;
  readonly onRelease = (): void => {
    this.releases += 1;
    throw new Error('nobody can catch this');
  };

  options(name: string = device): GpuBufferOptions {
    return { device: name, onRelease: this.onRelease };
  }
}

describe('onRelease', () => {
  it.each<[string, (owner: Owner) => unknown]>([
    ['dispose()', async (owner) => (await tensorFromGPUBuffer(bufferOf(values), shape, owner.options())).dispose()],
    [
      'dispose() of one adopted at once',
      (owner) => tensorFromGPUBufferSync(bufferOf(values), shape, owner.options()).dispose(),
    ],
    [
      'the last dispose() of what shares the memory',
      async (owner) => {
        const x = await tensorFromGPUBuffer(bufferOf(values), shape, owner.options());
        const view = x.view([2, 2]);
        x.dispose();
        expect(owner.releases).toBe(0);
        view.dispose();
      },
    ],
    [
      'the end of a graph that has saved it',
      async (owner) => {
        const x = await tensorFromGPUBuffer(bufferOf(values), shape, { ...owner.options(), requiresGrad: true });
        const y = await new BatchNorm1d(1, { device }).forward(x);
        x.dispose();
        expect(owner.releases).toBe(0);
        await y.backward(tensor(values, shape, { device }));
      },
    ],
    [
      'the garbage collector',
      async (owner) => {
        const forget = async (): Promise<void> => {
          await tensorFromGPUBuffer(bufferOf(values), shape, owner.options());
        };
        await forget();
        await collectUntil(() => owner.releases > 0);
      },
    ],
    [
      'closing the device',
      async (owner) => {
        const name = await freshDevice('webgpu');
        const x = await tensorFromGPUBuffer(bufferOf(values, name), shape, owner.options(name));
        await devices.close(name);
        expect(owner.releases).toBe(1);
        x.dispose();
      },
    ],
    [
      'a device that is lost',
      async (owner) => {
        const name = await freshDevice('webgpu');
        const x = await tensorFromGPUBuffer(bufferOf(values, name), shape, owner.options(name));
        devices.get(name as 'webgpu:0').gpuDevice.destroy();
        expect(owner.releases).toBe(1);
        x.dispose();
      },
    ],
  ])('is called once, by %s', async (_name, end) => {
    const owner = new Owner();
    await end(owner);
    await settled();
    expect(owner.releases).toBe(1);
  });

  it.each<[string, () => GPUBuffer, number[], object]>([
    ['a buffer that is too small', () => bufferOf(values), [5, 1], {}],
    ['a buffer without a usage', () => bufferOf(values, device, 0x80 | 0x8), shape, {}],
    ['a buffer of another device', () => bufferOf(values, 'webgpu:1'), shape, {}],
    ['what is no buffer', () => ({}) as GPUBuffer, shape, {}],
    ['what is no shape', () => bufferOf(values), [-1], {}],
    ['a device that is none', () => bufferOf(values), shape, { device: 'gpu:0' }],
    ['a device that is no GPU', () => bufferOf(values), shape, { device: 'cpu:0' }],
    ['an option that there is not', () => bufferOf(values), shape, { memory_format: 'contiguous' }],
    ['no device', () => bufferOf(values), shape, { device: undefined }],
    ['another memory format', () => bufferOf(values), shape, { memoryFormat: 'channels_last' }],
  ])('is called once where the call fails, for %s', async (_name, buffer, sizes, options) => {
    const owner = new Owner();
    const given = { ...owner.options(), ...options };
    await expect(tensorFromGPUBuffer(buffer(), sizes, given)).rejects.toThrow(/expected|unknown (device|option)/);
    expect(owner.releases).toBe(1);
  });

  it('lets the owner destroy the buffer, also while commands that use it wait to be compiled', async () => {
    const name = await freshDevice('webgpu');
    const buffer = bufferOf(values, name);
    let isReleased = false;
    const onRelease = (): void => {
      isReleased = true;
      buffer.destroy();
    };
    // Nothing is recorded, so no graph keeps the buffer.
    const bn = new BatchNorm1d(1, { device: name, affine: false });
    const x = tensorFromGPUBufferSync(buffer, shape, { device: name, onRelease });
    const y = bn.forwardSync(x);
    x.dispose();
    const expected = new BatchNorm1d(1, { device: name, affine: false });
    const same = await expected.forward(tensor(values, shape, { device: name }));
    expectSameBits(await y.data(), await same.data());
    expect(isReleased).toBe(true);
    expect(await bn.runningVar?.data()).toEqual(await expected.runningVar?.data());
  });

  it.each([1, null, {}])('is refused where it is no function but %j', async (onRelease) => {
    const options = { device, onRelease } as unknown as GpuBufferOptions;
    await expect(tensorFromGPUBuffer(bufferOf(values), shape, options)).rejects.toThrow(TypeError);
    expect(() => tensorFromGPUBufferSync(bufferOf(values), shape, options)).toThrow(TypeError);
  });
});

describe('a buffer of another engine', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 9, 18, 30, 63, 65])('may have %i values and not a byte more', async (count) => {
    const data = randomArray(count, count, { offset: 1 });
    const buffer = bufferOf(data);
    const x = await tensorFromGPUBuffer(buffer, [count, 1], { device, requiresGrad: true });
    expect(await x.data()).toEqual(data);
    for (const seed of [2, 3]) {
      // The owner may write between operations.
      const written = randomArray(seed, count, { offset: seed });
      devices.get(device).gpuDevice.queue.writeBuffer(buffer, 0, Float32Array.from(written));
      const results = [];
      for (const input of [x, tensor(written, [count, 1], { device, requiresGrad: true })]) {
        const bn = new BatchNorm1d(1, { device });
        const y = await (count === 1 ? bn.eval() : bn).forward(input);
        await y.backward(tensor(randomArray(4, count), [count, 1], { device }));
        results.push([
          await y.data(),
          await input.grad?.data(),
          await bn.runningVar?.data(),
          await bn.weight?.grad?.data(),
        ]);
        input.grad = null;
      }
      expect(results[0]).toEqual(results[1]);
    }
    x.dispose();
  });

  it('may be a gradient, a parameter and a source of copies, of any size', async () => {
    const data = randomArray(1, 5);
    const foreign = await tensorFromGPUBuffer(bufferOf(data), [5], { device });
    expect(await (await foreign.to('cpu')).data()).toEqual(data);
    const copy = tensor(new Float32Array(5), [5], { device });
    await copy.copy_(foreign);
    expect(await copy.data()).toEqual(data);
    const bn = new BatchNorm1d(5, { device });
    await bn.loadStateDict({ weight: foreign }, { strict: false });
    expect(await bn.weight?.data()).toEqual(data);
    copy.requiresGrad = true;
    await copy.backward(foreign);
    await copy.backward(foreign);
    expect(await copy.grad?.data()).toEqual(data.map((value) => 2 * value));
  });

  it.each([6, 2])('has a multiple of 4 bytes, not %i', async (size) => {
    const { gpuDevice } = devices.get(device);
    const buffer = gpuDevice.createBuffer({ size, usage: 0x80 | 0x4 | 0x8 });
    await expect(tensorFromGPUBuffer(buffer, [1], { device })).rejects.toThrow('a multiple of 4');
  });
});

describe('several buffers', () => {
  it('are checked together and become tensors in their order', async () => {
    const [a, b] = [randomArray(1, 4), randomArray(2, 3)];
    const [x, y] = await tensorsFromGPUBuffers(
      [
        { buffer: bufferOf(a), shape: [1, 1, 2, 2], memoryFormat: 'channels_last' },
        { buffer: bufferOf(b), shape: [3], requiresGrad: true },
      ],
      { device },
    );
    expect([await x?.data(), await y?.data()]).toEqual([a, b]);
    expect([x?.memoryFormat, x?.requiresGrad, y?.requiresGrad]).toEqual(['channels_last', false, true]);
    expect(await tensorsFromGPUBuffers([], { device })).toEqual([]);
  });

  it('are all adopted or none, and every owner is told', async () => {
    const owners = [new Owner(), new Owner(), new Owner()];
    const buffers = [bufferOf(values), bufferOf(values, 'webgpu:1'), bufferOf(values)];
    const before = devices.get(device).memoryUsage().buffers;
    const sources = buffers.map((buffer, i) => ({
      buffer,
      shape,
      onRelease: owners[i]?.onRelease ?? ((): void => undefined),
    }));
    await expect(tensorsFromGPUBuffers(sources, { device })).rejects.toThrow(DeviceMismatchError);
    expect(owners.map(({ releases }) => releases)).toEqual([1, 1, 1]);
    expect(devices.get(device).memoryUsage().buffers).toBe(before);
  });

  it('have owners who are told, whatever is wrong with the options', async () => {
    const owner = new Owner();
    const source = { buffer: bufferOf(values), shape, onRelease: owner.onRelease };
    await expect(tensorsFromGPUBuffers([source], { devise: device } as never)).rejects.toThrow('did you mean device?');
    await expect(tensorsFromGPUBuffers([{ ...source, device } as never], { device })).rejects.toThrow('unknown option');
    expect(owner.releases).toBe(2);
  });

  it.each([null, {}, 3])('are no %j', async (sources) => {
    await expect(tensorsFromGPUBuffers(sources as never, { device })).rejects.toThrow(TypeError);
  });

  it.each([[[null]], [[{}]], [[{ buffer: {}, shape: [1], shap: 1 }]]])(
    'have what they need, not %j',
    async (sources) => {
      await expect(tensorsFromGPUBuffers(sources as never, { device })).rejects.toThrow(TypeError);
    },
  );
});

describe('a buffer that is adopted at once', () => {
  const stateOf = async (bn: BatchNorm1d): Promise<unknown> => [
    bn.numBatchesTracked,
    await bn.runningMean?.data(),
    await bn.runningVar?.data(),
    await bn.weight?.grad?.data(),
    await bn.bias?.grad?.data(),
  ];
  const dy = (): Tensor => tensor(randomArray(5, 4), shape, { device });

  it('serves forward and backward passes without a wait', async () => {
    const results = [];
    for (const isAdopted of [true, false]) {
      const bn = new BatchNorm1d(1, { device });
      for (const seed of [1, 2]) {
        const data = randomArray(seed, 4);
        const options = { device, requiresGrad: true };
        const x = isAdopted ? tensorFromGPUBufferSync(bufferOf(data), shape, options) : tensor(data, shape, options);
        const y = bn.forwardSync(x);
        y.backwardSync(dy());
        results.push(bn.numBatchesTracked, await Promise.all([y.data(), x.grad?.data()]), await stateOf(bn));
      }
    }
    const half = results.length / 2;
    expect(results.slice(0, half)).toEqual(results.slice(half));
  });

  it('and belongs to another device changes nothing that lasts, and whoever uses what comes of it is told', async () => {
    const owner = new Owner();
    const bn = new BatchNorm1d(1, { device });
    const good = tensor(values, shape, { device });
    bn.forwardSync(good).backwardSync(dy());
    const before = await stateOf(bn);
    const x = tensorFromGPUBufferSync(bufferOf(values, 'webgpu:1'), shape, { ...owner.options(), requiresGrad: true });
    const outputs = [bn.forwardSync(x), bn.forwardSync(x), bn.forwardSync(good)];
    outputs.slice(0, 2).forEach((y) => y.backwardSync(dy()));
    // Taken for done until the GPU answers.
    expect(bn.numBatchesTracked).toBe(4);
    await expect(outputs[0]?.data()).rejects.toThrow(DeviceMismatchError);
    await expect(outputs[1]?.data()).rejects.toThrow(DeviceMismatchError);
    await settled();
    expect(await stateOf(bn)).toEqual(before);
    expect(x.grad).toBeNull();
    await expect(bn.forward(x)).rejects.toThrow(DeviceMismatchError);
    expect(() => bn.forwardSync(x)).toThrow(DeviceMismatchError);
    expect(owner.releases).toBe(1);
    x.dispose();
    expect(owner.releases).toBe(1);
    expect(await stateOf(bn)).toEqual(before);
  });

  it('and fails later leaves alone what the program has written meanwhile', async () => {
    const bn = new BatchNorm1d(1, { device });
    const x = tensorFromGPUBufferSync(bufferOf(values, 'webgpu:1'), shape, { device });
    bn.forwardSync(x);
    await bn.runningMean?.copy_(Float32Array.of(7));
    bn.resetRunningStats();
    await bn.runningVar?.copy_(Float32Array.of(3));
    await expect(x.data()).rejects.toThrow(DeviceMismatchError);
    await settled();
    const [mean, variance] = [await bn.runningMean?.data(), await bn.runningVar?.data()];
    expect([bn.numBatchesTracked, mean, variance]).toEqual([0, Float32Array.of(0), Float32Array.of(3)]);
  });

  it('needs a WebGPU device that is ready', async () => {
    const buffer = bufferOf(values);
    expect(() => tensorFromGPUBufferSync(buffer, shape, { device: 'webgpu:9' })).toThrow(NotInitializedError);
    expect(() => tensorFromGPUBufferSync(buffer, shape, { device: 'worker:0' })).toThrow(RangeError);
    await devices.close('webgpu:9');
  });
});
