import {
  BatchNorm1d,
  DataParallel,
  DataParallelWithCallBack,
  devices,
  init,
  Module,
  OutOfMemoryError,
  ReplicaError,
  scope,
  SyncDeadlockError,
  SynchronizedBatchNorm1d,
  tensor,
  type Tensor,
} from 'syncbn';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds, deviceNames, oneDeviceOf } from '../support/device_kinds.ts';
import { collectGarbage } from '../support/event_loop.ts';
import { randomArray } from '../support/random.ts';
import { Around, buffersOn, devicesSettled, placed, spreadCopies, stateOf } from './modules.ts';
import { eventLoopTurns } from './sharded_step.ts';

type Layer = SynchronizedBatchNorm1d;
type Behaviour = (layer: Layer, x: Tensor, replica: number) => Promise<Tensor>;

describe.each(deviceKinds)('a failing replica on %s', (kind) => {
  const names = deviceNames(kind, 3);
  const shape = [6, 2, 40];
  const data = randomArray(1, 480);
  let layer: Layer;
  let behaviour: Behaviour;
  let net: DataParallelWithCallBack<Around<Layer>>;

  beforeAll(() => init(names));
  beforeEach(collectGarbage);
  beforeEach(async () => {
    layer = new SynchronizedBatchNorm1d(2);
    net = await placed(
      new DataParallelWithCallBack(new Around(layer, (...args) => behaviour(...args)), { deviceIds: names }),
    );
    await spreadCopies(net);
  });
  afterEach(() => names.forEach((name) => (devices.get(name).memoryLimit = Infinity)));

  /** Fails, leaves state and memory as they were, and the same model then works as if nothing had been. */
  async function failureOf(failing: Behaviour): Promise<ReplicaError> {
    const [state, memory] = [await stateOf(net), buffersOn(names)];
    behaviour = failing;
    const error: unknown = await scope(() => net.forward(batch()).catch((reason: unknown) => reason));
    names.forEach((name) => (devices.get(name).memoryLimit = Infinity));
    if (!(error instanceof ReplicaError)) throw new TypeError(`expected a ReplicaError, got ${String(error)}`);
    expect(await stateOf(net)).toEqual(state);
    // The error is told at once; the other replicas give back what they hold when they come to it.
    await devicesSettled(names);
    expect(buffersOn(names)).toEqual(memory);
    await expectWorking();
    return error;
  }

  async function expectWorking(): Promise<void> {
    behaviour = (inner, x) => inner.forward(x);
    const y = await net.forward(batch());
    const device = oneDeviceOf(kind);
    const plain = await new BatchNorm1d(2, { device }).forward(tensor(data, shape, { device }));
    expectSameBits(await y.data(), await plain.data());
    expect(layer.numBatchesTracked).toBe(1);
  }

  const batch = (): Tensor => tensor(data, shape);

  /** One replica does something else than the others. */
  const only =
    (replica: number, other: Behaviour): Behaviour =>
    (inner, x, r) =>
      r === replica ? other(inner, x, r) : inner.forward(x);

  it.each([0, 1, 2])('that throws before the layer is reported: replica %d', async (replica) => {
    const cause = new RangeError('no such sample');
    const error = await failureOf(only(replica, () => Promise.reject(cause)));
    expect(error).toMatchObject({ replica, device: names[replica], path: null, cause });
    expect(error.message).toBe(
      `Caught RangeError in replica ${replica} on device ${names[replica] ?? ''}.\nOriginal error: RangeError: no such sample`,
    );
  });

  it('that throws late rejects those who wait at once', async () => {
    const error = await failureOf(
      only(1, async () => {
        await eventLoopTurns(50);
        throw new TypeError('late');
      }),
    );
    expect(error).toMatchObject({ replica: 1, cause: { message: 'late' } });
  });

  it('that throws after the layer leaves no trace of it', async () => {
    const error = await failureOf(async (inner, x, replica) => {
      const y = await inner.forward(x);
      if (replica === 2) throw new Error('after the layer');
      return y;
    });
    expect(error).toMatchObject({ replica: 2, cause: { message: 'after the layer' } });
  });

  it('that throws what is no error is reported too', async () => {
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- Users throw strings.
    const error = await failureOf(only(1, () => Promise.reject('a string')));
    expect(error.message).toBe(`Caught string in replica 1 on device ${names[1] ?? ''}.\nOriginal error: a string`);
  });

  it('is the one of lowest index, of several', async () => {
    const error = await failureOf((_inner, _x, replica) => Promise.reject(new Error(`failure ${replica}`)));
    expect(error).toMatchObject({ replica: 0, cause: { message: 'failure 0' } });
  });

  it('is the one that began it, when others wrap its error or pass it on', async () => {
    const error = await failureOf(async (inner, x, replica) => {
      if (replica === 2) throw new Error('the beginning');
      if (replica === 1) return inner.forward(x);
      try {
        return await inner.forward(x);
      } catch (cause) {
        throw new Error('wrapped by the user', { cause });
      }
    });
    expect(error).toMatchObject({ replica: 2, cause: { message: 'the beginning' } });
  });

  it('that gives the layer a wrong shape is told what is wrong, and where', async () => {
    const error = await failureOf(
      only(1, (inner, x) => inner.forward(tensor([1, 2], [1, 2, 1, 1], { device: x.device }))),
    );
    expect(error).toMatchObject({ replica: 1, path: 'module.layer', cause: { name: 'RangeError' } });
    expect(error.message).toContain(
      'In layer module.layer.\nOriginal error: RangeError: expected 2D or 3D input (got 4D input)',
    );
  });

  it.each([0, 1, 2])('that runs out of memory says so: replica %d', async (replica) => {
    const error = await failureOf(
      only(replica, (inner, x) => {
        devices.get(x.device).memoryLimit = devices.get(x.device).memoryUsage().bytesInUse;
        return inner.forward(x);
      }),
    );
    expect(error).toMatchObject({ replica, path: 'module.layer', cause: { device: names[replica] } });
    expect(error.cause).toBeInstanceOf(OutOfMemoryError);
  });

  it('that skips the layer is found at once', async () => {
    const error = await failureOf(only(1, (_inner, x) => Promise.resolve(x)));
    expect(error.cause).toBeInstanceOf(SyncDeadlockError);
    expect(error.cause).toMatchObject({
      path: 'module.layer',
      call: 0,
      missingReplicas: [1],
      missingDevices: [names[1]],
    });
    expect(error.replica).toBe(0);
  });

  it.each([0, 2])('that calls the layer twice is found at once: replica %d', async (replica) => {
    const error = await failureOf(only(replica, async (inner, x) => inner.forward(await inner.forward(x))));
    expect(error.cause).toBeInstanceOf(SyncDeadlockError);
    const { call, missingReplicas } = error.cause as SyncDeadlockError;
    expect(call).toBe(1);
    // The first of the others to finish gives it away, or both, where they have finished before.
    const others = [0, 1, 2].filter((other) => other !== replica);
    expect([...others.map((other) => [other]), others]).toContainEqual(missingReplicas);
  });

  it('that swallows an error of the layer and finishes leaves nobody waiting', async () => {
    const error = await failureOf(
      only(1, async (inner, x) => {
        await inner.forward(tensor([1], [1, 1], { device: x.device })).catch(() => undefined);
        return x;
      }),
    );
    expect(error.cause).toMatchObject({ name: 'SyncDeadlockError', missingReplicas: [1] });
  });

  it('fails the gather when its output does not fit, and leaves no trace', async () => {
    const [state, memory] = [await stateOf(net), buffersOn(names)];
    behaviour = only(1, async (inner, x) => {
      await inner.forward(x);
      return tensor([1], [1, 1, 1], { device: x.device });
    });
    await scope(async () => expect(net.forward(batch())).rejects.toThrow('Input tensor at index 1 has invalid shape'));
    expect(await stateOf(net)).toEqual(state);
    expect(buffersOn(names)).toEqual(memory);
    await expectWorking();
  });

  it.each([0, 2])('is told at once beside one that never ends: replica %d', async (replica) => {
    const never = new Promise<never>(() => undefined);
    const error = await failureOf((inner, x, r) =>
      r === replica ? Promise.reject(new Error('first')) : r === 1 ? never : inner.forward(x),
    );
    expect(error).toMatchObject({ replica, cause: { message: 'first' } });
    // Scopes are open to everybody again.
    await scope(async () => Promise.resolve());
  });

  it('is told at once beside one that comes late, whose work is freed when it comes', async () => {
    let wake = (): void => undefined;
    const asleep = new Promise<void>((resolve) => {
      wake = resolve;
    });
    let late: Promise<unknown> = Promise.resolve();
    const [state, memory] = [await stateOf(net), buffersOn(names)];
    const made: Tensor[] = [];
    behaviour = async (inner, x, replica) => {
      if (replica !== 1) throw new Error('first');
      const work = asleep.then(async () => {
        await expect(inner.forward(x)).rejects.toThrow('it is a copy that one replica had for one forward pass');
        const output = tensor(data, shape, { device: names[1] ?? '' });
        made.push(output);
        return output;
      });
      late = work;
      return work;
    };
    const failure: unknown = await scope(() => net.forward(batch()).catch((reason: unknown) => reason));
    expect(failure).toMatchObject({ replica: 0, cause: { message: 'first' } });
    wake();
    await late;
    await devicesSettled(names);
    expect(made.map(({ isDisposed }) => isDisposed)).toEqual([true]);
    expect(await stateOf(net)).toEqual(state);
    expect(buffersOn(names)).toEqual(memory);
    await expectWorking();
  });

  it('whose time is up is told although the one that is missing never comes', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const never = new Promise<never>(() => undefined);
    behaviour = only(1, () => never);
    const failed = net.forward(batch()).catch((reason: unknown) => reason);
    await devicesSettled(names);
    vi.advanceTimersByTime(15_000);
    const error = await failed;
    vi.useRealTimers();
    expect(error).toMatchObject({ cause: { name: 'SyncTimeoutError', missingReplicas: [1] } });
    await expectWorking();
  });

  it('of a class with #private fields gets a hint', async () => {
    class Hidden extends Module {
      #calls = 0;
      forward(x: Tensor): Tensor {
        this.#calls += 1;
        return this.#calls > 0 ? x : x.detach();
      }
    }
    const hidden = await placed(new DataParallel(new Hidden(), { deviceIds: names }));
    await expect(hidden.forward(batch())).rejects.toThrow(/#private fields do not survive: declare them `private`/);
  });

  it('in a backward pass leaves gradients, state and memory as they were', async () => {
    await expectWorking();
    const memory = buffersOn(names);
    for (const name of names) {
      const x = tensor(data, shape, { device: names[0] ?? '', requiresGrad: true });
      const y = await net.forward(x);
      const dy = tensor(randomArray(2, 480), shape, { device: y.device });
      const state = await stateOf(net);
      devices.get(name).memoryLimit = devices.get(name).memoryUsage().bytesInUse;
      await expect(y.backward(dy), name).rejects.toThrow(OutOfMemoryError);
      devices.get(name).memoryLimit = Infinity;
      expect(await stateOf(net)).toEqual(state);
      expect(x.grad).toBeNull();
      [x, y, dy].forEach((item) => item.dispose());
    }
    expect(buffersOn(names)).toEqual(memory);
  });

  it('has no room for its parameters: what found room stays for the next time', async () => {
    behaviour = (inner, x) => inner.forward(x);
    await layer.loadStateDict(new BatchNorm1d(2).stateDict());
    const [memory, last] = [buffersOn(names), devices.get(names[2] ?? '')];
    const { bytesInUse } = last.memoryUsage();
    const [shard, copy] = [last.allocate(160), last.allocate(2)].map((buffer) => {
      const before = last.memoryUsage().bytesInUse;
      last.release(buffer);
      return before - last.memoryUsage().bytesInUse;
    });
    for (const copies of [0, 1, 2, 3]) {
      last.memoryLimit = bytesInUse + (shard ?? 0) + copies * (copy ?? 0);
      const x = batch();
      await expect(net.forward(x)).rejects.toThrow(OutOfMemoryError);
      x.dispose();
      expect(buffersOn(names).map((count, r) => count - (memory[r] ?? 0))).toEqual([0, 4, copies]);
    }
    last.memoryLimit = Infinity;
    await expectWorking();
  });
});
