/** What is computed for a pass that has failed meanwhile, and by a pass that fails itself, is given back at once, not by the collector. */

import {
  BatchNorm1d,
  DataParallel,
  DataParallelWithCallBack,
  devices,
  functional,
  init,
  OutOfMemoryError,
  SynchronizedBatchNorm1d,
  tensor,
  type Device,
  type Tensor,
} from 'syncbn';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { deviceNames } from '../support/device_kinds.ts';
import { collectGarbage } from '../support/event_loop.ts';
import { randomArray } from '../support/random.ts';
import { Around, buffersOn, devicesSettled, placed, spreadCopies, stateOf } from './modules.ts';

const names = deviceNames('cpu', 4);
const [first = 'cpu:0'] = names;

beforeAll(() => init(names));
beforeEach(collectGarbage);
afterEach(() => names.forEach(restore));

/** What a test puts in place of a device's own methods, which are back when it is deleted. */
function replaceable(name: string): Partial<Pick<Device, 'allocate' | 'confirm'>> {
  return devices.get(name);
}

function restore(name: string): void {
  delete replaceable(name).allocate;
  delete replaceable(name).confirm;
}

/** Lets a device be sure of its results only when the function returned is called, as a GPU is some time after it has computed them. */
function delayConfirmation(name: string): () => void {
  let confirm = (): void => undefined;
  const confirmed = new Promise<void>((resolve) => {
    confirm = resolve;
  });
  replaceable(name).confirm = () => confirmed;
  return confirm;
}

describe('a layer whose result is sure only after a sibling has failed', () => {
  it.each([BatchNorm1d, SynchronizedBatchNorm1d])('gives back what it made: %o', async (layerClass) => {
    const pair = names.slice(0, 2);
    const behaviour = async (layer: BatchNorm1d, x: Tensor, replica: number): Promise<Tensor> => {
      const y = await layer.forward(x);
      if (replica === 1) {
        y.dispose();
        throw new Error('after the layer');
      }
      return y;
    };
    const net = new DataParallelWithCallBack(new Around(new layerClass(2), behaviour), { deviceIds: pair });
    await spreadCopies(net);
    const [state, memory] = [await stateOf(net), buffersOn(pair)];
    const x = tensor(randomArray(1, 12), [6, 2], { requiresGrad: true });
    const confirm = delayConfirmation(first);
    await expect(net.forward(x)).rejects.toThrow('after the layer');
    confirm();
    await devicesSettled(pair);
    x.dispose();
    expect(await stateOf(net)).toEqual(state);
    expect(buffersOn(pair)).toEqual(memory);
  });
});

describe('running statistics of which one is disposed before the batch is sure', () => {
  interface Running {
    readonly runningMean: Tensor;
    readonly runningVar: Tensor;
  }
  const forwards: Readonly<Record<string, (x: Tensor, running: Running) => Promise<unknown>>> = {
    'a layer': (x, running) => {
      const layer = new BatchNorm1d(2, { affine: false });
      [layer.runningMean, layer.runningVar].forEach((own) => own?.dispose());
      return Object.assign(layer, running).forward(x);
    },
    'functional.batchNorm': (x, { runningMean, runningVar }) =>
      functional.batchNorm(x, runningMean, runningVar, { training: true }),
    'functional.updateRunning': async (x, { runningMean, runningVar }) =>
      functional.updateRunning(
        await functional.mergeMoments([await functional.moments(x)], first),
        runningMean,
        runningVar,
      ),
  };

  it.each(Object.keys(forwards))('stay as they were, and nothing is kept: %s', async (what) => {
    const [before] = buffersOn(names);
    const x = tensor(randomArray(1, 12), [6, 2], { device: first });
    const [runningMean, runningVar] = [tensor([1, 2]), tensor([3, 4])];
    const confirm = delayConfirmation(first);
    const failed = expect(forwards[what]?.(x, { runningMean, runningVar })).rejects.toThrow('disposed');
    await devicesSettled([first]);
    runningVar.dispose();
    confirm();
    await failed;
    expect(await runningMean.data()).toEqual(Float32Array.of(1, 2));
    [x, runningMean].forEach((item) => item.dispose());
    expect(buffersOn(names)[0]).toBe(before);
  });
});

describe('updates of running statistics that are sure only later', () => {
  interface Batch {
    readonly x: Tensor;
    readonly moments: Uint8Array;
  }
  type Update = (batch: Batch, runningMean: Tensor, runningVar: Tensor) => Promise<unknown>;
  const updates: Readonly<Record<string, Update>> = {
    'a layer': ({ x }, runningMean, runningVar) => {
      const layer = new BatchNorm1d(2, { affine: false });
      [layer.runningMean, layer.runningVar].forEach((own) => own?.dispose());
      return Object.assign(layer, { runningMean, runningVar }).forward(x);
    },
    'functional.batchNorm': ({ x }, runningMean, runningVar) =>
      functional.batchNorm(x, runningMean, runningVar, { training: true }),
    'functional.updateRunning': ({ moments }, runningMean, runningVar) =>
      functional.updateRunning(moments, runningMean, runningVar),
  };
  const cases = Object.keys(updates).flatMap((one) => Object.keys(updates).map((other) => [one, other] as const));

  async function batchOf(seed: number, samples: number): Promise<Batch> {
    const x = tensor(randomArray(seed, 2 * samples), [samples, 2]);
    return { x, moments: await functional.moments(x) };
  }

  async function valuesAfter(
    run: (...running: [Tensor, Tensor]) => Promise<unknown>,
  ): Promise<readonly Float32Array[]> {
    const running: [Tensor, Tensor] = [tensor([1, 2]), tensor([3, 4])];
    await run(...running);
    return Promise.all(running.map((item) => item.data()));
  }

  it.each(cases)('begin with those of the call before: %s, then %s', async (one, other) => {
    const [x1, x2] = [await batchOf(1, 6), await batchOf(2, 5)];
    const inTurn = await valuesAfter(async (runningMean, runningVar) => {
      await updates[one]?.(x1, runningMean, runningVar);
      await updates[other]?.(x2, runningMean, runningVar);
    });
    const atOnce = await valuesAfter(async (runningMean, runningVar) => {
      const confirm = delayConfirmation(first);
      const both = Promise.all([
        updates[one]?.(x1, runningMean, runningVar),
        updates[other]?.(x2, runningMean, runningVar),
      ]);
      await devicesSettled([first]);
      confirm();
      await both;
      restore(first);
    });
    expect(atOnce).toEqual(inTurn);
  });

  it.each(Object.keys(updates))('leave what the program writes meanwhile: %s', async (what) => {
    const values = await valuesAfter(async (runningMean, runningVar) => {
      const batch = await batchOf(1, 6);
      const confirm = delayConfirmation(first);
      const update = updates[what]?.(batch, runningMean, runningVar);
      await devicesSettled([first]);
      await Promise.all([runningMean.copy_(Float32Array.of(7, 8)), runningVar.copy_(Float32Array.of(9, 10))]);
      confirm();
      await update;
      restore(first);
    });
    expect(values).toEqual([Float32Array.of(7, 8), Float32Array.of(9, 10)]);
  });
});

describe('a backward pass over several devices for which there is no memory', () => {
  const shape = [8, 3];

  /** Lets every allocation fail after the first ones. */
  function failAfter(name: string, count: number): void {
    const device = devices.get(name);
    const allocate = device.allocate.bind(device);
    let left = count;
    replaceable(name).allocate = (length: number) => {
      left -= 1;
      if (left < 0) throw new OutOfMemoryError(name, 4 * length, device.memoryUsage().bytesInUse);
      return allocate(length);
    };
  }

  const wrappers = [DataParallel, DataParallelWithCallBack];
  const cases = wrappers.flatMap((wrapper) => [true, false].map((training) => ({ wrapper, training })));

  it.each(cases)('keeps nothing, whichever allocation is the first to fail: %o', async ({ wrapper, training }) => {
    const layer = new SynchronizedBatchNorm1d(3);
    const net = await placed(new wrapper(layer, { deviceIds: names, outputDevice: names[1] ?? '' }));
    net.train(training);
    const step = async (): Promise<unknown> => {
      const x = tensor(randomArray(1, 24), shape, { device: first, requiresGrad: true });
      const dy = tensor(randomArray(2, 24), shape, { device: names[1] ?? '' });
      const y = await net.forward(x);
      limit();
      const error: unknown = await y.backward(dy).then(
        () => null,
        (reason: unknown) => reason,
      );
      names.forEach(restore);
      [x, y, dy].forEach((item) => item.dispose());
      [layer.weight, layer.bias].forEach((parameter) => parameter && (parameter.grad = null));
      return error;
    };
    let limit = (): void => undefined;
    await step();
    const memory = buffersOn(names);
    for (const name of names) {
      const failures: unknown[] = [];
      for (let count = 0; failures.length === count; count++) {
        limit = () => failAfter(name, count);
        const error = await step();
        if (error !== null) failures.push(error);
        expect(buffersOn(names), `${name}, ${count} allocations`).toEqual(memory);
      }
      expect(failures, name).not.toEqual([]);
      failures.forEach((error) => expect(error).toBeInstanceOf(OutOfMemoryError));
    }
  });
});
