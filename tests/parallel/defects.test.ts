/** The defects of the packages this one descends from: none of them may come back. */

import {
  BatchNorm2d,
  convertModel,
  DataParallel,
  DataParallelWithCallBack,
  devices,
  init,
  OutOfMemoryError,
  Parameter,
  scope,
  Sequential,
  SynchronizedBatchNorm2d,
  tensor,
  type Module,
  type ReplicaError,
  type Tensor,
} from 'syncbn';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds, deviceNames, oneDeviceOf } from '../support/device_kinds.ts';
import { randomArray } from '../support/random.ts';
import { referenceForward } from '../support/reference.ts';
import { againstExact, expectWithin } from '../support/tolerances.ts';
import { Around, devicesSettled, placed, stateOf } from './modules.ts';

describe.each(deviceKinds)('defects of the originals, on %s', (kind) => {
  const names = deviceNames(kind, 4);
  const one = { device: oneDeviceOf(kind) };
  const data = randomArray(1, 8 * 2 * 9);
  const batch = (options = {}): Tensor => tensor(data, [8, 2, 3, 3], options);

  beforeAll(() => init(names));
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
    names.forEach((name) => (devices.get(name).memoryLimit = Infinity));
  });

  const spread = async <M extends Module>(module: M, deviceIds = names): Promise<DataParallelWithCallBack<M>> =>
    placed(new DataParallelWithCallBack(module, { deviceIds }));

  it('1: conversion_reaches_every_level', () => {
    const model = new DataParallel(new Sequential(new Sequential(new Sequential(new BatchNorm2d(2)))));
    const layers = [...convertModel(model).modules()];
    expect(layers.at(-1)).toBeInstanceOf(SynchronizedBatchNorm2d);
  });

  it('2: a_time_out_keeps_the_shape_falls_back_everywhere_and_spoils_nothing', async () => {
    // What is loaded with the first forward of a wrapper is there before the clock stands still.
    await (await spread(new SynchronizedBatchNorm2d(2))).forward(batch());
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const warn = vi.spyOn(console, 'warn').mockReturnValue(undefined);
    let wake = (): void => undefined;
    const asleep = new Promise<void>((resolve) => {
      wake = resolve;
    });
    const bn = new SynchronizedBatchNorm2d(2, { onTimeout: 'local' });
    const net = await spread(
      new Around(bn, async (layer, x, replica) => {
        if (replica === 3) await asleep;
        return layer.forward(x);
      }),
    );
    const forward = net.forward(batch());
    await devicesSettled(names);
    vi.advanceTimersByTime(15_000);
    await devicesSettled(names);
    wake();
    const y = await forward;
    expect(y.shape).toEqual([8, 2, 3, 3]);
    expect(warn).toHaveBeenCalledTimes(1);
    const local = await (await placed(new DataParallel(new BatchNorm2d(2), { deviceIds: names }))).forward(batch());
    expectSameBits(await y.data(), await local.data());
    const again = await (await spread(bn)).forward(batch());
    expectSameBits(await again.data(), await (await new BatchNorm2d(2, one).forward(batch(one))).data());
  });

  it('3: waiting_costs_one_timer_and_reads_no_clock', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'Date'] });
    const [now, elapsed] = [vi.spyOn(Date, 'now'), vi.spyOn(performance, 'now')];
    let release = (): void => undefined;
    const late = new Promise<void>((resolve) => {
      release = resolve;
    });
    const net = await spread(
      new Around(new SynchronizedBatchNorm2d(2), async (layer, x, replica) => {
        if (replica === 0) await late;
        return layer.forward(x);
      }),
    );
    const forward = net.forward(batch());
    await devicesSettled(names);
    expect(vi.getTimerCount()).toBe(1);
    // The operations before have looked whether the event loop needs a turn.
    [now, elapsed].forEach((clock) => clock.mockClear());
    await vi.advanceTimersByTimeAsync(500);
    expect([now.mock.calls.length, elapsed.mock.calls.length]).toEqual([0, 0]);
    release();
    await forward;
    expect(vi.getTimerCount()).toBe(0);
  });

  it('4: the_user_sees_the_error_of_the_replica_and_sees_it_first', async () => {
    const last = devices.get(names[3] ?? '');
    const net = await spread(
      new Around(new SynchronizedBatchNorm2d(2), (layer, x, replica) => {
        if (replica === 3) last.memoryLimit = last.memoryUsage().bytesInUse;
        return layer.forward(x);
      }),
    );
    const error = await net.forward(batch()).catch((reason: unknown) => reason as ReplicaError);
    expect(error).toMatchObject({ name: 'ReplicaError', replica: 3, device: names[3] });
    expect((error as ReplicaError).cause).toBeInstanceOf(OutOfMemoryError);
  });

  it.each([1, 2, 3, 5])('5: a_final_batch_of_%d_waits_for_nobody', async (samples) => {
    const [bn, plain] = [new SynchronizedBatchNorm2d(2), new BatchNorm2d(2, one)];
    const net = await spread(bn);
    await net.forward(batch());
    await plain.forward(batch(one));
    const last = (options = {}): Tensor => tensor(data.slice(0, 18 * samples), [samples, 2, 3, 3], options);
    const [y, whole] = [await net.forward(last()), await plain.forward(last(one))];
    expectSameBits(await y.data(), await whole.data());
    expectSameBits((await bn.runningVar?.data()) ?? [], (await plain.runningVar?.data()) ?? []);
  });

  it('6: device_ids_may_come_in_any_order', async () => {
    const deviceIds = [names[2] ?? '', names[0] ?? '', names[3] ?? '', names[1] ?? ''];
    const bn = await new SynchronizedBatchNorm2d(2).to(deviceIds[0] ?? '');
    const y = await (await spread(bn, deviceIds)).forward(batch());
    expect(y.device).toBe(deviceIds[0]);
    expectSameBits(await y.data(), await (await new BatchNorm2d(2, one).forward(batch(one))).data());
  });

  it('7: channels_that_divide_but_differ_are_refused', async () => {
    const net = await spread(new SynchronizedBatchNorm2d(4));
    await expect(net.forward(tensor(data, [2, 8, 3, 3]))).rejects.toThrow(
      'running_mean should contain 8 elements not 4',
    );
    await expect(net.forward(batch())).rejects.toThrow('running_mean should contain 2 elements not 4');
  });

  it.each([
    ['a mean of 1e4 and a deviation of 1e-2', { offset: 1e4, scale: 1e-2 }],
    ['constant channels', { scale: 0, offset: 12.5 }],
    ['a mean of 1e6', { offset: 1e6 }],
  ])('8: nothing_cancels: %s', async (_, distribution) => {
    const x = randomArray(4, data.length, distribution);
    const bn = new SynchronizedBatchNorm2d(2, { momentum: 1 });
    const y = await (await spread(bn)).forward(tensor(x, [8, 2, 3, 3]));
    const [eps, momentum, runningMean, runningVar] = [1e-5, 1, [0, 0], [1, 1]];
    const layer = { weight: null, bias: null, runningMean, runningVar, eps, momentum, batchStatistics: true };
    const exact = referenceForward(x, [8, 2, 3, 3], layer);
    const variance = (await bn.runningVar?.data()) ?? new Float32Array();
    expectWithin(againstExact(kind), 'output', await y.data(), exact.y, 'y');
    expectWithin(againstExact(kind), 'running', variance, exact.runningVar ?? [], 'runningVar', {
      terms: exact.runningVarTerm,
    });
    expect(variance.every((value) => value >= 0)).toBe(true);
  });

  it('9: counters_count_and_every_setting_works', async () => {
    const cumulative = new SynchronizedBatchNorm2d(2, { momentum: null });
    const plain = new BatchNorm2d(2, { ...one, momentum: null });
    const net = await spread(cumulative);
    for (const offset of [0, 5, -3]) {
      const x = data.map((value) => value + offset);
      await net.forward(tensor(x, [8, 2, 3, 3]));
      await plain.forward(tensor(x, [8, 2, 3, 3], one));
    }
    expect(cumulative.numBatchesTracked).toBe(3);
    expectSameBits((await cumulative.runningMean?.data()) ?? [], (await plain.runningMean?.data()) ?? []);
    const untracked = await spread(new SynchronizedBatchNorm2d(2, { trackRunningStats: false }));
    expect((await untracked.forward(batch())).shape).toEqual([8, 2, 3, 3]);
    cumulative.trackRunningStats = false;
    await net.forward(batch());
    expect(cumulative.numBatchesTracked).toBe(3);
  });

  it('10: conversion_loses_nothing', async () => {
    const shared = new BatchNorm2d(2, { bias: false }).eval();
    await shared.to(names[1] ?? '');
    if (shared.weight !== null) shared.weight.requiresGrad = false;
    shared.numBatchesTracked = 17;
    const options = { deviceIds: [names[1] ?? '', names[0] ?? ''], outputDevice: names[2] ?? '', dim: 0 };
    const net = convertModel(new DataParallel(new Sequential(shared, new Sequential(shared)), options));
    const [first, nested] = [...net.module.children()] as [SynchronizedBatchNorm2d, Sequential];
    expect([...nested.children()][0]).toBe(first);
    expect(net).toMatchObject(options);
    expect([first.weight, first.bias, first.runningMean]).toEqual([shared.weight, null, shared.runningMean]);
    expect(first.weight).toBe(shared.weight);
    expect(first).toMatchObject({ training: false, numBatchesTracked: 17 });
    expect([first.weight?.requiresGrad, first.weight?.device, first.weight instanceof Parameter]).toEqual([
      false,
      names[1],
      true,
    ]);
  });

  it('11: a_failed_forward_leaves_the_state_as_it_was', async () => {
    const net = await spread(
      new Around(new SynchronizedBatchNorm2d(2), async (layer, x, replica) => {
        const y = await layer.forward(x);
        if (replica === 2) throw new Error('after the layer');
        return y;
      }),
    );
    const before = await stateOf(net);
    await scope(async () => expect(net.forward(batch())).rejects.toThrow('after the layer'));
    expect(await stateOf(net)).toEqual(before);
  });

  it('12: a_model_that_has_been_used_can_be_copied_and_saved', async () => {
    const net = await spread(new Sequential(new SynchronizedBatchNorm2d(2)));
    await net.forward(batch());
    const saved: Record<string, number | number[]> = {};
    for (const [key, value] of Object.entries(net.stateDict())) {
      saved[key] = typeof value === 'number' ? value : [...(await value.data())];
    }
    const copy = await spread(new Sequential(new SynchronizedBatchNorm2d(2)));
    const text = JSON.parse(JSON.stringify(saved)) as typeof saved;
    const dict = Object.entries(text).map(
      ([key, value]) => [key, typeof value === 'number' ? value : tensor(value)] as const,
    );
    await copy.loadStateDict(Object.fromEntries(dict));
    expect(await stateOf(copy)).toEqual(await stateOf(net));
    const [y, z] = [await net.eval().forward(batch()), await copy.eval().forward(batch())];
    expectSameBits(await y.data(), await z.data());
  });
});
