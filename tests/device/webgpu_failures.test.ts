/** What goes wrong on WebGPU: each cause is one class of error that says what to do, and the others go on. */

import {
  BatchNorm2d,
  DataParallelWithCallBack,
  DeviceLimitError,
  DeviceLostError,
  devices,
  functional,
  init,
  NoAdapterError,
  OutOfMemoryError,
  PartialError,
  ReplicaError,
  SynchronizedBatchNorm2d,
  tensor,
  ValidationError,
  type Tensor,
} from 'syncbn';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Around, placed, stateOf } from '../parallel/modules.ts';
import { expectSameBits } from '../support/bits.ts';
import { collectGarbage, settled } from '../support/event_loop.ts';
import { randomArray } from '../support/random.ts';

afterAll(() => devices.close());

const shape = [4, 2, 3, 3];
const data = randomArray(1, 72);

async function errorOf(attempt: Promise<unknown>): Promise<unknown> {
  return attempt.then(
    () => null,
    (error: unknown) => error,
  );
}

describe('a platform', () => {
  // In Node `navigator.gpu` comes with the first device.
  beforeAll(() => init(['webgpu:1']));
  afterAll(() => devices.close());

  let own: PropertyDescriptor | undefined;
  beforeEach(() => (own = Object.getOwnPropertyDescriptor(navigator, 'gpu')));
  afterEach(() => {
    Reflect.deleteProperty(navigator, 'gpu');
    if (own !== undefined) Object.defineProperty(navigator, 'gpu', own);
  });

  /** Has `navigator.gpu` answer so. */
  function offer(requestAdapter: () => Promise<unknown>): void {
    Object.defineProperty(navigator, 'gpu', { value: { requestAdapter }, configurable: true });
  }

  it('without an adapter is told from one without WebGPU', async () => {
    offer(() => Promise.resolve(null));
    const error = await errorOf(init(['webgpu:0']));
    expect(error).toBeInstanceOf(NoAdapterError);
    expect(error).toMatchObject({ device: 'webgpu:0' });
    expect(String(error)).toContain('graphics acceleration is on');
    await expect(devices.create()).rejects.toThrow(NoAdapterError);
    await devices.close('webgpu:0');
    expect(await devices.best()).toBe('cpu:0');
  });

  it('whose adapter makes no device says why', async () => {
    const adapter = {
      features: new Set(),
      info: {},
      limits: {},
      requestDevice: () => Promise.reject(new Error('the driver is busy')),
    };
    offer(() => Promise.resolve(adapter));
    await expect(init(['webgpu:0'])).rejects.toThrow(/^device webgpu:0: .*the driver is busy/);
  });
});

describe('a device without room', () => {
  const name = 'webgpu:10';

  it('refuses what is larger than the adapter grants, with the figures', async () => {
    await init([name]);
    const { maxBufferSize, maxStorageBufferBindingSize } = devices.get(name).gpuDevice.limits;
    const granted = Math.min(maxBufferSize, maxStorageBufferBindingSize);
    const attempt = (): unknown => devices.get(name).allocate(granted / 4 + 1);
    expect(attempt).toThrow(DeviceLimitError);
    expect(attempt).toThrow(`at most ${granted}, which the adapter grants`);
  });

  it('says so at the next command where it is the adapter that has none, and uses no such buffer again', async () => {
    const device = devices.get(name);
    lackMemoryOnce(device.gpuDevice);
    const spoiled = device.allocate(1000);
    await settled();
    const attempt = (): unknown => device.allocate(1000);
    const error = await errorOf(new Promise((resolve) => resolve(attempt())));
    expect(error).toBeInstanceOf(OutOfMemoryError);
    expect(error).toMatchObject({ device: name, bytesInUse: device.memoryUsage().bytesInUse });
    expect(String(error)).toContain('wanted more bytes with');
    device.release(spoiled);
    const x = tensor(randomArray(2, 1000), [1000], { device: name });
    expectSameBits(await x.data(), randomArray(2, 1000));
  });
});

/**
 * Has the platform do for the next buffer what it does when there is no room: give one that is invalid, and report it later.
 * Taking all memory there is would end the process of an emulated GPU.
 */
function lackMemoryOnce(gpuDevice: GPUDevice): void {
  const create = gpuDevice.createBuffer.bind(gpuDevice);
  gpuDevice.createBuffer = (descriptor) => {
    Reflect.deleteProperty(gpuDevice, 'createBuffer');
    gpuDevice.pushErrorScope('validation');
    // `MAP_READ` and `MAP_WRITE`, which no buffer may have both.
    const invalid = create({ ...descriptor, usage: 0x1 | 0x2 });
    void gpuDevice.popErrorScope();
    const error = new GPUOutOfMemoryError('no room');
    queueMicrotask(() => {
      gpuDevice.onuncapturederror?.({ error } as unknown as GPUUncapturedErrorEvent);
    });
    return invalid;
  };
}

describe('a command that the platform refuses', () => {
  const name = 'webgpu:11';

  it('is told by the operation that gave it, once, and leaves the device usable', async () => {
    await init([name]);
    const bn = new BatchNorm2d(2, { device: name });
    const x = tensor(data, shape, { device: name });
    x.gpuBuffer().destroy();
    const error = await errorOf(bn.forward(x));
    expect(error).toBeInstanceOf(ValidationError);
    expect(error).toMatchObject({ device: name });
    expect(String(error)).toContain('unless a shared GPUBuffer was destroyed');
    const other = tensor(data, shape, { device: name });
    expectSameBits(await other.data(), data);
  });
});

describe('a partial of more values than a GPU counts', () => {
  /** Moments of one channel in one node, as bytes that a network brought. */
  function partialOf(samples: number, length: number): Uint8Array {
    const bytes = new DataView(new ArrayBuffer(56));
    bytes.setUint32(0, 0x314e4253, true);
    bytes.setUint32(4, 1, true);
    [1, length, 0, samples].forEach((number, i) => bytes.setBigUint64(8 + 8 * i, BigInt(number), true));
    bytes.setFloat64(40, 1, true);
    bytes.setFloat64(48, 1, true);
    return new Uint8Array(bytes.buffer);
  }

  const channel = (): Tensor => tensor([1, 2], [2, 1], { device: 'webgpu:0' });
  const vector = (): Tensor => tensor([5], [1], { device: 'webgpu:0' });

  it.each([
    [2 ** 32, 32],
    [2 ** 45, 32],
    [2 ** 27, 32],
    [2 ** 20, 2 ** 31],
  ])('of %i samples of %i is refused at once and changes nothing', async (samples, length) => {
    const [mean, variance] = [vector(), vector()];
    await expect(functional.finalize(partialOf(samples, length), channel())).rejects.toThrow(PartialError);
    await expect(functional.updateRunning(partialOf(samples, length), mean, variance)).rejects.toThrow(PartialError);
    expect([await mean.item(), await variance.item()]).toEqual([5, 5]);
  });

  it('is a limit: the largest node below it is taken', async () => {
    const statistics = await functional.finalize(partialOf(2 ** 26, 32), channel());
    expect((await statistics.data())[0]).toBe(1);
  });
});

describe('a device whose kernels trap', () => {
  it('is lost with an error that names the operation, can be recreated, and leaves nobody else the worse', async () => {
    const name = 'webgpu:12';
    await init([name, 'webgpu:0']);
    const [x, bystander] = [tensor(data, shape, { device: name }), tensor(data, shape, { device: 'webgpu:0' })];
    const { gpuDevice } = devices.get(name);
    gpuDevice.createBuffer = () => {
      throw new Error('the platform is out of order');
    };
    const attempt = (): unknown => devices.get(name).allocate(100_000);
    expect(attempt).toThrow(/was lost during allocate.*devices\.recreate/);
    expect(attempt).toThrow(DeviceLostError);
    await expect(x.data()).rejects.toThrow(/was lost during allocate/);
    x.dispose();
    await settled();
    expect(devices.describe().find((one) => one.name === name)?.work).toBeNull();
    expectSameBits(await bystander.data(), data);
    await devices.recreate(name).ready();
    expectSameBits(await tensor(data, shape, { device: name }).data(), data);
  });
});

describe('a device that is destroyed in the middle of a step', () => {
  const names = ['webgpu:0', 'webgpu:1', 'webgpu:2'] as const;
  const [first, second] = names;
  /** What happens in replica 1. */
  let mishap: (moment: 'before' | 'after') => void;
  let layer: SynchronizedBatchNorm2d;
  let net: DataParallelWithCallBack<Around<SynchronizedBatchNorm2d>>;

  beforeEach(async () => {
    mishap = () => undefined;
    await init(names);
    await collectGarbage();
    // Without a time-out: nothing but the loss itself may end the step.
    layer = new SynchronizedBatchNorm2d(2, { syncTimeout: Infinity });
    const around = new Around(layer, async (inner, x, replica) => {
      if (replica === 1) mishap('before');
      const y = await inner.forward(x);
      if (replica === 1) mishap('after');
      return y;
    });
    net = await placed(new DataParallelWithCallBack(around, { deviceIds: names }));
  });

  const batch = (requiresGrad = false): Tensor => tensor(data, shape, { device: first, requiresGrad });
  const destroySecond = (): void => devices.get(second).gpuDevice.destroy();

  /** The same model works, with the bits of one device, once the device is there again. */
  async function expectRecovery(): Promise<void> {
    mishap = () => undefined;
    await devices.recreate(second).ready();
    const [whole, x] = [new BatchNorm2d(2, { device: first }), batch()];
    await whole.loadStateDict(layer.stateDict());
    const [y, expected] = [await net.forward(batch()), await whole.forward(x)];
    expectSameBits(await y.data(), await expected.data());
    expectSameBits((await layer.runningVar?.data()) ?? [], (await whole.runningVar?.data()) ?? []);
  }

  it.each([
    ['before', 'the replica'],
    ['after', 'the gathering of outputs'],
  ] as const)('%s the layer fails %s at once and changes nothing', async (when, what) => {
    await net.forward(batch());
    const state = await stateOf(net);
    mishap = (moment) => {
      if (moment === when) destroySecond();
    };
    const error = await errorOf(net.forward(batch()));
    const lost = error instanceof ReplicaError ? error.cause : error;
    expect(error instanceof ReplicaError).toBe(what === 'the replica');
    if (error instanceof ReplicaError) expect(error).toMatchObject({ replica: 1, device: second });
    expect(lost).toBeInstanceOf(DeviceLostError);
    expect(lost).toMatchObject({ device: second });
    expect(String(error)).toContain(`devices.recreate('${second}')`);
    expect(await stateOf(net)).toEqual(state);
    await expectRecovery();
  });

  it('fails the backward at once and leaves no gradient', async () => {
    const x = batch(true);
    const y = await net.forward(x);
    const state = await stateOf(net);
    const pass = errorOf(y.backward(tensor(data, shape, { device: first })));
    destroySecond();
    expect(await pass).toBeInstanceOf(DeviceLostError);
    expect(x.grad).toBeNull();
    expect(await stateOf(net)).toEqual(state);
    await expectRecovery();
  });

  it('leaves those that do not need it alone', async () => {
    const bn = new BatchNorm2d(2, { device: first });
    destroySecond();
    expect((await (await bn.forward(batch())).data()).length).toBe(72);
    await expectRecovery();
  });
});
