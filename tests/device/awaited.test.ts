/** What operations that are awaited have in common: turns of the event loop, and a second look for memory. */

import {
  BatchNorm1d,
  DataParallelWithCallBack,
  defineFunction,
  devices,
  functional,
  OutOfMemoryError,
  SynchronizedBatchNorm1d,
  tensor,
  type Tensor,
} from 'syncbn';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { atEndOfTick } from '../../ts/end_of_tick.ts';
import { endOfTick, settled } from '../support/event_loop.ts';
import { freshDevice } from '../support/fresh_device.ts';

const shape = [4, 3, 2];
const batch = (device: string): Tensor =>
  tensor(
    new Float32Array(24).map((_, i) => i * i),
    shape,
    { device },
  );

describe('a loop that awaits nothing but', () => {
  let turns = 0;
  let isCounting = false;
  /** Milliseconds, of which every operation takes ten. */
  let now = 1e6;

  beforeEach(async () => {
    await endOfTick();
    [turns, isCounting] = [0, true];
    vi.spyOn(performance, 'now').mockImplementation(() => (now += 10));
    const count = (): void => {
      turns += 1;
      if (isCounting) atEndOfTick(count);
    };
    atEndOfTick(count);
  });
  afterEach(async () => {
    isCounting = false;
    vi.restoreAllMocks();
    await settled();
  });

  interface Things {
    readonly device: string;
    readonly layer: BatchNorm1d;
    readonly x: Tensor;
  }

  it.each<[string, (things: Things) => Promise<unknown>]>([
    ['forward passes', ({ layer, x }) => layer.forward(x)],
    ['passes in evaluation', ({ layer, x }) => layer.eval().forward(x)],
    ['passes that fail', ({ layer, device }) => layer.forward(tensor([1], [1], { device })).catch(() => undefined)],
    ['steps of batch norm', ({ x }) => functional.moments(x)],
    ['values read', ({ x }) => x.data()],
    ['copies', ({ x }) => x.to('cpu:63')],
    [
      'replicas',
      ({ x, device }) => {
        const net = new DataParallelWithCallBack(new SynchronizedBatchNorm1d(3, { device }), {
          deviceIds: [device, 'cpu:62'],
        });
        return net.forward(x);
      },
    ],
  ])('%s gives the event loop a turn every 50 ms', async (_, operation) => {
    const device = await freshDevice('cpu');
    const things = { device, layer: new BatchNorm1d(3, { device }), x: batch(device) };
    await operation(things);
    turns = 0;
    for (let i = 0; i < 100; i++) await operation(things);
    // 100 operations take a second at least.
    expect(turns).toBeGreaterThanOrEqual(20);
  });

  it('backward passes gives the event loop a turn within them', async () => {
    const device = await freshDevice('cpu');
    const double = defineFunction({
      forward: (_, x: Tensor) => x.detach(),
      backward: (_, dy) => dy.detach(),
    });
    const leaf = batch(device);
    leaf.requiresGrad = true;
    let y = leaf;
    for (let i = 0; i < 100; i++) y = await double(y);
    turns = 0;
    await y.backward(batch(device));
    expect(turns).toBeGreaterThanOrEqual(20);
  });

  it('short operations is not held up', async () => {
    const device = await freshDevice('cpu');
    const [layer, x] = [new BatchNorm1d(3, { device }), batch(device)];
    await layer.forward(x);
    await endOfTick();
    vi.spyOn(performance, 'now').mockReturnValue(now);
    turns = 0;
    for (let i = 0; i < 100; i++) await layer.forward(x);
    expect(turns).toBe(0);
  });
});

it('what an operation does is done at once, also when its answer waits for a turn', async () => {
  const device = await freshDevice('cpu');
  const [layer, x] = [new BatchNorm1d(3, { device }), batch(device)];
  let now = 1e7;
  vi.spyOn(performance, 'now').mockImplementation(() => (now += 1000));
  const passing = layer.forward(x);
  x.dispose();
  expect(layer.numBatchesTracked).toBe(1);
  expect((await passing).shape).toEqual(shape);
  vi.restoreAllMocks();
});

describe('an operation for which there is no memory', () => {
  /** Runs `operation` with no room; what `free` gives back comes in a later turn of the event loop, as from a finalizer. */
  async function withoutRoom<T>(device: string, operation: () => Promise<T>, held: readonly Tensor[]): Promise<T> {
    const { bytesInUse } = devices.get(device).memoryUsage();
    devices.get(device).memoryLimit = bytesInUse;
    atEndOfTick(() => held.forEach((item) => item.dispose()));
    return operation();
  }

  it.each<[string, (layer: BatchNorm1d, x: Tensor, statistics: Tensor) => Promise<unknown>]>([
    ['a forward pass', (layer, x) => layer.forward(x)],
    ['a step of batch norm', (_, x, statistics) => functional.normalize(x, statistics)],
    [
      'a copy',
      (layer, x) =>
        layer
          .to('cpu:61')
          .then(() => x.to('cpu:61'))
          .then((copy) => copy.to(x.device)),
    ],
    ['reading what must be rearranged', (_, x) => x.data()],
  ])('waits for finalizers and tries again: %s', async (_, operation) => {
    const device = await freshDevice('cpu');
    const layer = new BatchNorm1d(3, { device });
    const x = tensor(new Float32Array(24), shape, { device, memoryFormat: 'channels_last' });
    const held = [1, 2, 3, 4, 5].map(() => tensor(new Float32Array(24), shape, { device }));
    const statistics = tensor(new Float32Array(12), [4, 3], { device });
    await withoutRoom(device, () => operation(layer, x, statistics), held);
  });

  it('waits for finalizers and tries again: a backward pass', async () => {
    const device = await freshDevice('cpu');
    const layer = new BatchNorm1d(3, { device });
    const x = batch(device);
    x.requiresGrad = true;
    const y = await layer.forward(x);
    const [dy, other] = [batch(device), batch(device)];
    await y.backward(dy);
    const expected = await layer.weight?.grad?.data();
    layer.zeroGrad();
    const again = await layer.forward(batch(device));
    const held = [1, 2, 3, 4, 5].map(() => tensor(new Float32Array(24), shape, { device }));
    await withoutRoom(device, () => again.backward(other), held);
    expect(await layer.weight?.grad?.data()).toEqual(expected);
    expect(expected?.length).toBe(3);
  });

  it('fails when there is still none, and has changed nothing', async () => {
    const device = await freshDevice('cpu');
    const [layer, x] = [new BatchNorm1d(3, { device }), batch(device)];
    const { buffers } = devices.get(device).memoryUsage();
    await expect(withoutRoom(device, () => layer.forward(x), [])).rejects.toThrow(OutOfMemoryError);
    expect([devices.get(device).memoryUsage().buffers, layer.numBatchesTracked]).toEqual([buffers, 0]);
  });
});
