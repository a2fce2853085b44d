/** Synchronous calls: the bits and the state of the asynchronous ones, at once. */

import {
  BatchNorm1d,
  BatchNorm2d,
  DataParallelWithCallBack,
  defineFunction,
  devices,
  FrozenBatchNorm2d,
  functional,
  init,
  NotInitializedError,
  OutOfMemoryError,
  Sequential,
  SynchronizedBatchNorm1d,
  SynchronizedBatchNorm2d,
  tensor,
  type BatchNorm,
  type Tensor,
} from 'syncbn';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { collectGarbage, collectUntil, settled } from '../support/event_loop.ts';
import { freshDevice } from '../support/fresh_device.ts';
import { scale } from '../support/operations.ts';
import { randomArray } from '../support/random.ts';

const channels = 3;
const shape = [4, channels, 2, 3];
const length = 4 * channels * 6;

beforeAll(() => init(['cpu:0', 'webgpu:0', 'worker:0']));
beforeEach(collectGarbage);

async function stateOf(bn: BatchNorm): Promise<unknown> {
  const tensors = [bn.weight, bn.bias, bn.runningMean, bn.runningVar, bn.weight?.grad, bn.bias?.grad];
  return [bn.numBatchesTracked, ...(await Promise.all(tensors.map(async (item) => (await item?.data()) ?? null)))];
}

describe.each(['cpu', 'webgpu'])('a synchronous call on %s', (kind) => {
  const device = `${kind}:0`;
  const batch = (seed: number, requiresGrad = false): Tensor =>
    tensor(randomArray(seed, length, { offset: 2 }), shape, { device, requiresGrad });

  it.each([
    { memoryFormat: 'contiguous', training: true, momentum: 0.1, Layer: BatchNorm2d },
    { memoryFormat: 'channels_last', training: true, momentum: null, Layer: BatchNorm2d },
    { memoryFormat: 'contiguous', training: false, momentum: 0.1, Layer: BatchNorm2d },
    { memoryFormat: 'channels_last', training: true, momentum: 0.3, Layer: SynchronizedBatchNorm2d },
  ] as const)('of a layer gives its bits and its state: $memoryFormat, training $training', async (spec) => {
    const { memoryFormat, training, momentum, Layer } = spec;
    const results = [];
    for (const isSynchronous of [false, true]) {
      const bn = new Layer(channels, { device, momentum });
      bn.train(training);
      const outputs: Tensor[] = [];
      for (const seed of [1, 2]) {
        const x = tensor(randomArray(seed, length, { offset: 3 }), shape, { device, memoryFormat, requiresGrad: true });
        const dy = tensor(randomArray(seed + 10, length), shape, { device });
        const y = isSynchronous ? bn.forwardSync(x) : await bn.forward(x);
        if (isSynchronous) y.backwardSync(dy);
        else await y.backward(dy);
        if (x.grad === null) throw new Error('expected a gradient');
        outputs.push(y, x.grad);
      }
      results.push([await stateOf(bn), await Promise.all(outputs.map((output) => output.data()))]);
    }
    expect(results[1]).toEqual(results[0]);
  });

  it('gives the gradients that a graph of several layers and functions has', async () => {
    const double = defineFunction({
      forward: (_context, x: Tensor) => x,
      backward: (_context, dy) => dy,
    });
    const gradients = [];
    for (const isSynchronous of [false, true]) {
      const [first, second] = [new BatchNorm2d(channels, { device }), new BatchNorm2d(channels, { device })];
      const x = batch(1, true);
      const y = second.forwardSync(await double(first.forwardSync(x)));
      const dy = batch(2);
      if (isSynchronous) y.backwardSync(dy);
      else await y.backward(dy);
      gradients.push([await x.grad?.data(), await stateOf(first), await stateOf(second)]);
    }
    expect(gradients[1]).toEqual(gradients[0]);
  });

  it('of a functional step gives the bits of the asynchronous one', async () => {
    const [x, dy] = [batch(1), batch(2)];
    const vector = (seed: number): Tensor => tensor(randomArray(seed, channels), [channels], { device });
    const [weight, bias] = [vector(3), vector(4)];
    const merged = await functional.mergeMoments([await functional.moments(x)]);
    const statistics = await functional.finalize(merged, x);
    const sums = await functional.mergeSums([await functional.backwardReduce(dy, x, statistics)]);
    const [mean, variance] = [vector(5), vector(6)];
    const [meanSync, varianceSync] = [vector(5), vector(6)];
    await functional.updateRunning(merged, mean, variance);
    functional.updateRunningSync(merged, meanSync, varianceSync);
    const both = [
      [await functional.finalize(merged, x), functional.finalizeSync(merged, x)],
      [
        await functional.normalize(x, statistics, { weight, bias }),
        functional.normalizeSync(x, statistics, { weight, bias }),
      ],
      [
        await functional.backwardInput(dy, x, statistics, { weight, sums }),
        functional.backwardInputSync(dy, x, statistics, { weight, sums }),
      ],
      [
        (await functional.backwardParameters(sums, statistics)).dweight,
        functional.backwardParametersSync(sums, statistics).dweight,
      ],
      [
        await functional.batchNorm(x, mean, variance, { training: true }),
        functional.batchNormSync(x, meanSync, varianceSync, { training: true }),
      ],
      [mean, meanSync],
      [variance, varianceSync],
    ] as const;
    for (const [asynchronous, synchronous] of both) {
      expectSameBits(await synchronous.data(), await asynchronous.data());
    }
  });

  it('of a frozen layer gives its bits', async () => {
    const frozen = new FrozenBatchNorm2d(channels, { device });
    expectSameBits(await frozen.forwardSync(batch(1)).data(), await (await frozen.forward(batch(1))).data());
  });

  it('that fails leaves the state as it was', async () => {
    const bn = new BatchNorm2d(channels, { device });
    const before = await stateOf(bn);
    expect(() => bn.forwardSync(tensor([1, 2], [1, 2], { device }))).toThrow('expected 4D input');
    const name = await freshDevice(kind as 'cpu' | 'webgpu');
    const elsewhere = new BatchNorm2d(channels, { device: name });
    const x = tensor(randomArray(1, length), shape, { device: name });
    await elsewhere.weight?.data();
    devices.get(name).memoryLimit = devices.get(name).memoryUsage().bytesInUse;
    expect(() => elsewhere.forwardSync(x)).toThrow(OutOfMemoryError);
    devices.get(name).memoryLimit = Infinity;
    expect(await stateOf(bn)).toEqual(before);
    expect(elsewhere.numBatchesTracked).toBe(0);
    const other = new BatchNorm2d(channels, { device: name });
    expectSameBits(await elsewhere.forwardSync(x).data(), await (await other.forward(x)).data());
  });

  it('of a backward pass refuses what has to be awaited, and leaves the gradients of leaves alone', async () => {
    const bn = new BatchNorm2d(channels, { device });
    const x = batch(1, true);
    const { buffers } = devices.get(device).memoryUsage();
    const scaled = await scale(x, 2);
    const y = bn.forwardSync(scaled);
    expect(() => y.backwardSync(batch(2).donate())).toThrow('that of scale returns a promise');
    expect([x.grad, bn.weight?.grad]).toEqual([null, null]);
    scaled.dispose();
    y.dispose();
    // What the function has begun ends later, and is given back then.
    const held = (): number => devices.get(device).memoryUsage().buffers;
    await collectUntil(() => held() === buffers);
    expect(held()).toBe(buffers);
  });

  it('of a backward pass names what is missing', () => {
    const bn = new BatchNorm2d(channels, { device });
    expect(() => bn.forwardSync(batch(1)).backwardSync()).toThrow(
      'grad can be implicitly created only for scalar outputs',
    );
    expect(() => batch(1).backwardSync()).toThrow('backwardSync(): the tensor does not require grad');
    expect(() => bn.forwardSync(batch(1)).backwardSync(1 as unknown as Tensor)).toThrow(
      'backwardSync(): expected a Tensor',
    );
  });
});

describe('a synchronous call', () => {
  it('reads partials in the calling thread only', async () => {
    const on = (device: string): Tensor => tensor(randomArray(1, length), shape, { device });
    const x = on('cpu');
    const merged = functional.mergeMomentsSync([functional.momentsSync(x)]);
    expect(merged).toEqual(await functional.mergeMoments([await functional.moments(x)]));
    const total = functional.mergeMomentsSync([functional.totalSync(x)]);
    expect(functional.deviationsSync(x, total)).toEqual(await functional.deviations(x, total));
    const statistics = functional.finalizeSync(merged, x);
    const sums = functional.mergeSumsSync([functional.backwardReduceSync(x, x, statistics)]);
    expect(sums).toEqual(await functional.backwardReduce(x, x, statistics));
    expect(() => functional.momentsSync(on('webgpu'))).toThrow(
      "functional.momentsSync(): expected a 'cpu' device, whose work is done when a call returns, got webgpu:0",
    );
    expect(() => functional.mergeMomentsSync([merged], 'worker')).toThrow("expected a 'cpu' device");
  });

  it.each<[string, (x: Tensor) => unknown]>([
    ['forwardSync()', (x) => new BatchNorm2d(channels, { device: x.device }).forwardSync(x)],
    ['backwardSync()', (x) => x.backwardSync(x)],
    ['functional.momentsSync()', (x) => functional.momentsSync(x)],
    ['functional.batchNormSync()', (x) => functional.batchNormSync(x, null, null, { training: true })],
    ['dataSync()', (x) => x.dataSync()],
  ])('%s refuses workers, says what to do, and wants a device that is ready', (where, call) => {
    const on = (device: string): Tensor => tensor(randomArray(1, length), shape, { device, requiresGrad: true });
    expect(() => call(on('worker:0'))).toThrow(RangeError);
    expect(() => call(on('worker:0'))).toThrow(where);
    expect(() => call(on('worker:0'))).toThrow('await ');
    expect(() => call(on('cpu:55'))).toThrow(NotInitializedError);
    expect(() => call(on('cpu:55'))).toThrow("await init(['cpu:55'])");
  });

  it('reads in both orders, and into an array', () => {
    const x = tensor([0, 1, 2, 3, 4, 5, 6, 7], [1, 2, 2, 2], { memoryFormat: 'channels_last' });
    expect(x.dataSync()).toEqual(Float32Array.of(0, 1, 2, 3, 4, 5, 6, 7));
    const target = new Float32Array(8);
    expect(x.dataSync(target, { order: 'memory' })).toBe(target);
    expect(target).toEqual(Float32Array.of(0, 4, 1, 5, 2, 6, 3, 7));
  });

  it('of a synchronized layer is refused where it must meet its replicas, and allowed in evaluation', async () => {
    class Net extends Sequential {
      readonly bn = new SynchronizedBatchNorm1d(1);
      override async forward(x: Tensor): Promise<Tensor> {
        await settled();
        return this.bn.forwardSync(x);
      }
    }
    const net = new DataParallelWithCallBack(new Net(), { deviceIds: ['cpu:0', 'cpu:1'] });
    const x = tensor([1, 2, 3, 4], [4, 1]);
    await expect(net.forward(x)).rejects.toThrow(/forwardSync\(\): layer module.bn synchronizes .* await forward\(\)/);
    expect(net.module.bn.numBatchesTracked).toBe(0);
    net.eval();
    const alone = new BatchNorm1d(1).eval();
    expectSameBits(await (await net.forward(x)).data(), alone.forwardSync(x).dataSync());
  });
});
