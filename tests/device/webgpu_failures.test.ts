/** What goes wrong on WebGPU: each cause is one class of error that says what to do, and the others go on. */

import {
  BatchNorm2d,
  DataParallelWithCallBack,
  DeviceLimitError,
  DeviceLostError,
  devices,
  init,
  NoAdapterError,
  OutOfMemoryError,
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

  it('is reported to whoever reads next, once, and leaves the device usable', async () => {
    await init([name]);
    const bn = new BatchNorm2d(2, { device: name });
    const x = tensor(data, shape, { device: name });
    x.gpuBuffer().destroy();
    const error = await errorOf(bn.forward(x).then((y) => y.data()));
    expect(error).toBeInstanceOf(ValidationError);
    expect(error).toMatchObject({ device: name });
    expect(String(error)).toContain('unless a shared GPUBuffer was destroyed');
    const other = tensor(data, shape, { device: name });
    expectSameBits(await other.data(), data);
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
