import {
  BatchNorm1d,
  DataParallelWithCallBack,
  devices,
  init,
  Module,
  ReplicaError,
  scope,
  SynchronizedBatchNorm1d,
  SyncTimeoutError,
  tensor,
  type SynchronizedBatchNormOptions,
  type Tensor,
} from 'syncbn';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { CROSSING_DELAY_MS } from '../../ts/sync/meeting_point.ts';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds, deviceNames, numericsOf, oneDeviceOf } from '../support/device_kinds.ts';
import { collectGarbage } from '../support/event_loop.ts';
import { randomArray } from '../support/random.ts';
import { Around, buffersOn, devicesSettled, placed, spreadCopies, stateOf } from './modules.ts';

/** Two layers, one after the other; what replica 1 does before the first is up to the test. */
class TwoLayers extends Module {
  readonly first: SynchronizedBatchNorm1d;
  second: SynchronizedBatchNorm1d;
  private readonly before: () => Promise<void>;
  private replica = 0;

  constructor(options: SynchronizedBatchNormOptions, before: () => Promise<void>) {
    super();
    this.first = new SynchronizedBatchNorm1d(2, options);
    this.second = new SynchronizedBatchNorm1d(2, options);
    this.before = before;
  }

  override onReplicate(_context: object, replica: number): void {
    this.replica = replica;
  }

  async forward(x: Tensor): Promise<{ first: Tensor; second: Tensor }> {
    if (this.replica === 1) await this.before();
    const first = await this.first.forward(x);
    return { first, second: await this.second.forward(x) };
  }
}

describe.each(deviceKinds)('a sleeping replica on %s', (kind) => {
  const names = deviceNames(kind, 3);
  const one = { device: oneDeviceOf(kind) };
  const data = randomArray(1, 48);
  const batch = (options = {}): Tensor => tensor(data, [6, 2, 4], { ...options, requiresGrad: true });
  const warn = vi.fn();

  beforeAll(async () => {
    await init(names);
    // What is loaded with the first forward of a wrapper is there before the clock stands still.
    const net = new DataParallelWithCallBack(new SynchronizedBatchNorm1d(2), { deviceIds: names });
    await (await placed(net)).forward(batch());
  });
  beforeEach(collectGarbage);
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    vi.spyOn(console, 'warn').mockImplementation(warn);
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
    warn.mockReset();
  });

  async function sleeper(options: SynchronizedBatchNormOptions = {}): Promise<{
    net: DataParallelWithCallBack<TwoLayers>;
    wake: () => void;
  }> {
    let wake = (): void => undefined;
    const before = (): Promise<void> =>
      new Promise((resolve) => {
        wake = resolve;
      });
    const net = await placed(
      new DataParallelWithCallBack(new TwoLayers({ onTimeout: 'local', ...options }, before), { deviceIds: names }),
    );
    return { net, wake: () => wake() };
  }

  /** Lets time pass until the layer has given up, then wakes the sleeper. */
  async function sleepThrough<T>(forward: Promise<T>, wake: () => void, seconds: number): Promise<T> {
    // It may fail before it is awaited below.
    forward.catch(() => undefined);
    await devicesSettled(names);
    vi.advanceTimersByTime(1000 * seconds - 1);
    await devicesSettled(names);
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(1);
    await devicesSettled(names);
    wake();
    return forward;
  }

  /** What plain layers give, each shard by itself. */
  async function localOutput(): Promise<Float32Array> {
    const shards = [0, 1, 2].map((r) => tensor(data.slice(16 * r, 16 * r + 16), [2, 2, 4], one));
    const outputs = await Promise.all(
      shards.map(async (shard) => (await new BatchNorm1d(2, one).forward(shard)).data()),
    );
    return Float32Array.from(outputs.flatMap((output) => [...output]));
  }

  it('makes all replicas use local statistics, in the shape of the input, and spoils no later layer', async () => {
    const { net, wake } = await sleeper();
    const { first, second } = await sleepThrough(net.forward(batch()), wake, 15);
    expect(first.shape).toEqual([6, 2, 4]);
    expectSameBits(await first.data(), await localOutput());
    expectSameBits(await second.data(), await (await new BatchNorm1d(2, one).forward(batch(one))).data());
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is warned of once per layer, by its path and by who was missing', async () => {
    const { net, wake } = await sleeper();
    for (let step = 0; step < 3; step++) await sleepThrough(net.forward(batch()), wake, 15);
    expect(warn).toHaveBeenCalledTimes(1);
    const text = String(warn.mock.calls[0]?.[0]);
    for (const part of ['module.first', '15 s', `replica 1 on device ${names[1] ?? ''}`, 'of each device alone']) {
      expect(text).toContain(part);
    }
  });

  it('leaves replica 0 its statistics, as plain DataParallel does', async () => {
    const { net, wake } = await sleeper();
    await sleepThrough(net.forward(batch()), wake, 15);
    const plain = new BatchNorm1d(2, one);
    await plain.forward(tensor(data.slice(0, 16), [2, 2, 4], one));
    const { first } = net.module;
    expectSameBits((await first.runningVar?.data()) ?? [], (await plain.runningVar?.data()) ?? []);
    expect(first.numBatchesTracked).toBe(1);
  });

  it('leaves every replica what replica 0 has, although the layer met in its second call', async () => {
    const { net, wake } = await sleeper();
    net.module.second = net.module.first;
    await sleepThrough(net.forward(batch()), wake, 15);
    net.eval();
    const evaluated = net.forward(batch());
    await devicesSettled(names);
    wake();
    const alone = await net.module.first.forward(await batch().to(names[0] ?? ''));
    expectSameBits(await (await evaluated).first.data(), await alone.data());
  });

  it('has gradients of its own statistics then, summed onto the parameters', async () => {
    const { net, wake } = await sleeper();
    const x = batch();
    const { first } = await sleepThrough(net.forward(x), wake, 15);
    await first.backward(tensor(randomArray(2, 48), [6, 2, 4], { device: first.device }));
    // Local statistics make the gradient of every shard sum to zero.
    const dx = (await x.grad?.data()) ?? new Float32Array();
    const [largest, shard] = [Math.max(...dx.map(Math.abs)), dx.slice(0, 16)];
    const sum = shard.reduce((total, value, i) => (Math.floor(i / 4) % 2 === 0 ? total + value : total), 0);
    expect(largest).toBeGreaterThan(0.1);
    expect(Math.abs(sum)).toBeLessThan(1e-6);
    expect(await net.module.first.bias?.grad?.data()).toHaveLength(2);
  });

  it('fails all replicas where a time-out is an error', async () => {
    const { net, wake } = await sleeper({ onTimeout: 'error', syncTimeout: 2.5 });
    await spreadCopies(net);
    const [state, memory] = [await stateOf(net), buffersOn(names)];
    await scope(async () => {
      const error: unknown = await sleepThrough(net.forward(batch()), wake, 2.5).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(ReplicaError);
      expect(error).toMatchObject({ replica: 0, path: 'module.first' });
      const { cause } = error as ReplicaError;
      expect(cause).toBeInstanceOf(SyncTimeoutError);
      expect(cause).toMatchObject({ timeoutSeconds: 2.5, missingReplicas: [1], missingDevices: [names[1]] });
    });
    expect(await stateOf(net)).toEqual(state);
    expect(buffersOn(names)).toEqual(memory);
    expect(warn).not.toHaveBeenCalled();
  });

  it('too small to go on alone fails the forward of all: there is no mixture', async () => {
    const { net, wake } = await sleeper();
    const state = await stateOf(net);
    const tooSmall = tensor([1, 2, 3, 4, 5, 6], [3, 2]);
    const error: unknown = await sleepThrough(net.forward(tooSmall), wake, 15).catch((reason: unknown) => reason);
    expect(String(error)).toContain('Expected more than 1 value per channel when training, got input size [1, 2]');
    expect(String(error)).toContain('had to go on alone');
    expect(await stateOf(net)).toEqual(state);
  });

  it('may be slow, within the time', async () => {
    const { net, wake } = await sleeper({ syncTimeout: 60 });
    const forward = net.forward(batch());
    await devicesSettled(names);
    vi.advanceTimersByTime(59_999);
    wake();
    const { first } = await forward;
    expectSameBits(await first.data(), await (await new BatchNorm1d(2, one).forward(batch(one))).data());
    expect([warn.mock.calls.length, vi.getTimerCount()]).toEqual([0, 0]);
  });

  it('is no use where replicas wait for each other in different layers: they are told so', async () => {
    const bns = { a: new SynchronizedBatchNorm1d(2), b: new SynchronizedBatchNorm1d(2) };
    class Crossed extends Module {
      readonly a = bns.a;
      readonly b = bns.b;
      private replica = 0;
      override onReplicate(_context: object, replica: number): void {
        this.replica = replica;
      }
      async forward(x: Tensor): Promise<Tensor> {
        const [one, other] = this.replica === 0 ? [this.a, this.b] : [this.b, this.a];
        return other.forward(await one.forward(x));
      }
    }
    const net = await placed(new DataParallelWithCallBack(new Crossed(), { deviceIds: names }));
    const state = await stateOf(net);
    const forward = net.forward(batch()).catch((reason: unknown) => reason);
    await devicesSettled(names);
    vi.advanceTimersByTime(CROSSING_DELAY_MS);
    const error = await forward;
    expect(error).toMatchObject({ name: 'ReplicaError', replica: 0, path: 'module.a' });
    expect((error as ReplicaError).cause).toMatchObject({
      name: 'SyncDeadlockError',
      missingReplicas: [1, 2],
      missingPaths: [['module.b'], ['module.b']],
    });
    expect(await stateOf(net)).toEqual(state);
    expect([warn.mock.calls.length, vi.getTimerCount()]).toEqual([0, 0]);
  });

  // Only these numerics meet twice.
  const meetingTwice = numericsOf(kind).filter((numerics) => numerics === 'torch');

  it.each(meetingTwice)('in the middle of a %s layer makes all replicas go on alone', async (numerics) => {
    const bn = new SynchronizedBatchNorm1d(2, { numerics, onTimeout: 'local' });
    const net = await placed(new DataParallelWithCallBack(bn, { deviceIds: names }));
    const device = devices.get(names[1] ?? '');
    const reduce = device.reduce.bind(device);
    let wake = (): void => undefined;
    const asleep = new Promise<void>((resolve) => {
      wake = resolve;
    });
    vi.spyOn(device, 'reduce').mockImplementation(async (reduction) => {
      await (reduction.operation === 'deviations' ? asleep : null);
      return reduce(reduction);
    });
    const y = await sleepThrough(net.forward(batch()), () => wake(), 15);
    expect(y.shape).toEqual([6, 2, 4]);
    const plain = new BatchNorm1d(2, { numerics });
    await plain.forward(tensor(data.slice(0, 16), [2, 2, 4]));
    expectSameBits((await bn.runningMean?.data()) ?? [], (await plain.runningMean?.data()) ?? []);
    expect(warn).toHaveBeenCalledTimes(1);
  });
});

describe('the settings of a time-out', () => {
  it.each([
    [{ syncTimeout: 0 }, 'expected more than 0 seconds, got 0'],
    [{ syncTimeout: -1 }, 'got -1'],
    [{ syncTimeout: Number.NaN }, 'got NaN'],
    [{ syncTimeout: '15' }, 'expected a number of seconds, got string'],
    [{ onTimeout: 'ignore' }, "expected 'local' or 'error', got ignore"],
    [{ epsMode: 'max' }, "expected 'plus' or 'clamp', got max"],
  ])('are refused when they mean nothing: %o', (options, message) => {
    expect(() => new SynchronizedBatchNorm1d(2, options as SynchronizedBatchNormOptions)).toThrow(message);
  });

  it('have defaults, and may be changed', async () => {
    const bn = new SynchronizedBatchNorm1d(2);
    expect([bn.syncTimeout, bn.onTimeout, bn.epsMode]).toEqual([15, 'error', 'plus']);
    const net = new DataParallelWithCallBack(new Around(bn, (layer, x) => layer.forward(x)), {
      deviceIds: deviceNames('cpu', 2),
    });
    bn.syncTimeout = -3;
    await expect(net.forward(tensor([1, 2, 3, 4], [2, 2]))).rejects.toThrow('expected more than 0 seconds, got -3');
    bn.syncTimeout = Infinity;
    expect((await net.forward(tensor([1, 2, 3, 4], [2, 2]))).shape).toEqual([2, 2]);
  });
});
