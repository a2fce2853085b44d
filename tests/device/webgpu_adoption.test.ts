/** Devices and buffers of other engines: adopting them works whatever state they are in, and changes nothing about them. */

import { BatchNorm1d, DataParallelWithCallBack, devices, init, tensor, tensorFromGPUBuffer } from 'syncbn';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { settled } from '../support/event_loop.ts';

const device = 'webgpu:0';
/** `STORAGE`, `COPY_SRC` and `COPY_DST`. */
const usage = 0x80 | 0x4 | 0x8;
const values = [1, 2, 3, 4];

/** A device as another engine makes it. */
async function ownersDevice(): Promise<GPUDevice> {
  const adapter = await navigator.gpu.requestAdapter();
  if (adapter === null) throw new Error('expected an adapter');
  return adapter.requestDevice();
}

function ownersBuffer(gpuDevice: GPUDevice): GPUBuffer {
  const buffer = gpuDevice.createBuffer({ size: 64, usage });
  gpuDevice.queue.writeBuffer(buffer, 0, Float32Array.of(...values));
  return buffer;
}

/** What a device has of its own, beside what its class has. */
function ownProperties(object: object): Record<string, PropertyDescriptor> {
  return Object.getOwnPropertyDescriptors(object);
}

// In Node `navigator.gpu` comes with the first device.
beforeAll(() => init([device]));
afterAll(() => devices.close());

describe('a device that is adopted', () => {
  const states: readonly [string, (gpuDevice: GPUDevice) => unknown][] = [
    ['as it was made', (gpuDevice) => gpuDevice],
    ['frozen', (gpuDevice) => Object.freeze(gpuDevice)],
    ['sealed', (gpuDevice) => Object.seal(gpuDevice)],
    [
      'whose owner has put a createBuffer of his own on it',
      (gpuDevice) => {
        const create = gpuDevice.createBuffer.bind(gpuDevice);
        gpuDevice.createBuffer = (descriptor) => create(descriptor);
      },
    ],
    [
      'whose owner has a handler of errors',
      (gpuDevice) => {
        gpuDevice.onuncapturederror = () => undefined;
      },
    ],
  ];

  it.each(states)('%s computes, and is left as it was', async (_state, prepare) => {
    const gpuDevice = await ownersDevice();
    prepare(gpuDevice);
    const [before, handler] = [ownProperties(gpuDevice), gpuDevice.onuncapturederror];
    const { name } = await devices.adopt(gpuDevice);
    const lent = await tensorFromGPUBuffer(ownersBuffer(gpuDevice), [4], { device: name });
    expectSameBits(await lent.data(), values);
    const layer = new BatchNorm1d(1, { device: name });
    const y = await layer.forward(await tensorFromGPUBuffer(ownersBuffer(gpuDevice), [4, 1], { device: name }));
    expect((await y.data())[0]).toBeCloseTo(-1.3416, 3);
    expect(devices.get(name as 'webgpu').gpuDevice).toBe(gpuDevice);
    await devices.close(name);
    expect(ownProperties(gpuDevice)).toEqual(before);
    expect(gpuDevice.onuncapturederror).toBe(handler);
    gpuDevice.destroy();
  });

  it('tells its owner of errors as before, and us no longer once it is closed', async () => {
    const gpuDevice = await ownersDevice();
    const told: string[] = [];
    gpuDevice.onuncapturederror = ({ error }) => {
      told.push(error.message);
    };
    const { name } = await devices.adopt(gpuDevice);
    // MAP_READ and MAP_WRITE exclude each other.
    gpuDevice.createBuffer({ size: 16, usage: 0x1 | 0x2 });
    await gpuDevice.queue.onSubmittedWorkDone();
    await settled();
    expect(told).toHaveLength(1);
    await devices.close(name);
    gpuDevice.destroy();
  });

  it('does the work of a DataParallel only where it is named', async () => {
    const adopted = await devices.adopt(await ownersDevice());
    const module = new BatchNorm1d(1, { device });
    expect(new DataParallelWithCallBack(module).deviceIds).not.toContain(adopted.name);
    const named = new DataParallelWithCallBack(module, { deviceIds: [device, adopted.name] });
    expect(named.deviceIds).toContain(adopted.name);
    await devices.close(adopted.name);
  });
});

describe('a buffer that is adopted', () => {
  it.each([
    ['a frozen device', true],
    ['a device of our own', false],
  ])('on %s is the one that its owner writes to', async (_name, isFrozen) => {
    const gpu = await devices.create();
    const { gpuDevice, name } = gpu;
    if (isFrozen) Object.freeze(gpuDevice);
    const buffer = ownersBuffer(gpuDevice);
    const lent = await tensorFromGPUBuffer(buffer, [4], { device: name });
    gpuDevice.queue.writeBuffer(buffer, 0, Float32Array.of(5, 6, 7, 8));
    expectSameBits(await lent.data(), [5, 6, 7, 8]);
    expect(lent.gpuBuffer()).toBe(buffer);
    await devices.close(name);
  });

  it('is never written, so that neither a shorter tensor nor a second one on it harms it', async () => {
    const gpu = devices.get(device);
    const buffer = gpu.gpuDevice.createBuffer({ size: 64, usage });
    const all = Float32Array.from({ length: 16 }, (_, i) => i + 1);
    gpu.gpuDevice.queue.writeBuffer(buffer, 0, all);
    const [short, same, whole] = await Promise.all(
      [[5, 1], [5, 1], [16]].map((shape) => tensorFromGPUBuffer(buffer, shape, { device })),
    );
    const layer = new BatchNorm1d(1, { device });
    const y = short && (await layer.forward(short.donate()));
    expect((await y?.data())?.length).toBe(5);
    expectSameBits((await same?.data()) ?? [], [1, 2, 3, 4, 5]);
    expectSameBits((await whole?.data()) ?? [], all);
  });

  it.each<[string, (gpu: ReturnType<typeof devices.get>, lent: ReturnType<typeof gpu.allocate>) => void]>([
    ['fill', (gpu, lent) => gpu.run({ operation: 'fill', target: lent, value: 0 })],
    ['add', (gpu, lent) => gpu.run({ operation: 'add', a: lent, b: lent, target: lent })],
    ['write', (gpu, lent) => gpu.write(lent, new Float32Array(4))],
  ])('is refused as the target of %s', async (_command, run) => {
    const gpu = devices.get(device);
    const buffer = ownersBuffer(gpu.gpuDevice);
    const lent = await gpu.adoptBuffer(buffer, 4);
    expect(() => run(gpu, lent)).toThrow(RangeError);
    expect(() => run(gpu, lent)).toThrow('a buffer that was adopted, which is only read');
    expectSameBits(await gpu.read(lent), values);
    gpu.release(lent);
  });
});

describe('a buffer that was handed out', () => {
  it('is nobody else’s memory after its tensor is gone', () => {
    const handedOut = tensor(values, [4], { device }).gpuBuffer();
    const first = tensor(values, [4], { device });
    const buffer = first.gpuBuffer();
    first.dispose();
    const next = Array.from({ length: 4 }, () => tensor(values, [4], { device }));
    expect(next.map((one) => one.gpuBuffer())).not.toContain(buffer);
    expect(next.map((one) => one.gpuBuffer())).not.toContain(handedOut);
  });
});
