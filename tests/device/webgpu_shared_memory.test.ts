/**
 * A `GPUBuffer` that its owner destroys, or has never unmapped. The platform refuses the command that uses it, and says so later: the
 * operation that gave the command rejects, nothing has changed, and nobody else is told.
 */

import {
  BatchNorm1d,
  DataParallelWithCallBack,
  devices,
  functional,
  init,
  SynchronizedBatchNorm1d,
  tensor,
  tensorFromGPUBuffer,
  ValidationError,
  type Tensor,
} from 'syncbn';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stateOf } from '../parallel/modules.ts';
import { expectSameBits } from '../support/bits.ts';
import { settled } from '../support/event_loop.ts';
import { add } from '../support/operations.ts';

const names = ['webgpu:0', 'webgpu:1'] as const;
const [device] = names;
const shape = [4, 4];
const data = Float32Array.from({ length: 16 }, (_, i) => (i * i) % 7);

beforeAll(() => init(names));
afterAll(() => devices.close());

/** `STORAGE`, `COPY_SRC` and `COPY_DST`. */
const usage = 0x80 | 0x4 | 0x8;

interface Fault {
  readonly fault: string;
  /** A tensor of that shape whose memory is whole until `strike`. */
  readonly lend: (shape: readonly number[]) => Promise<{ readonly lent: Tensor; readonly strike: () => void }>;
}

const faults: readonly Fault[] = [
  {
    fault: 'destroyed by its owner',
    lend: async (sizes) => {
      const { gpuDevice } = devices.get(device);
      const buffer = gpuDevice.createBuffer({ size: 64, usage });
      gpuDevice.queue.writeBuffer(buffer, 0, data);
      const lent = await tensorFromGPUBuffer(buffer, sizes, { device, requiresGrad: true });
      return { lent, strike: () => buffer.destroy() };
    },
  },
  {
    fault: 'still mapped by its owner',
    lend: async (sizes) => {
      const buffer = devices.get(device).gpuDevice.createBuffer({ size: 64, usage, mappedAtCreation: true });
      const lent = await tensorFromGPUBuffer(buffer, sizes, { device, requiresGrad: true });
      return { lent, strike: () => undefined };
    },
  },
  {
    fault: 'handed out and destroyed',
    lend: (sizes) => {
      const size = sizes.reduce((product, one) => product * one, 1);
      const lent = tensor(data.slice(0, size), sizes, { device, requiresGrad: true });
      const buffer = lent.gpuBuffer();
      return Promise.resolve({ lent, strike: () => buffer.destroy() });
    },
  },
];

const whole = (): Tensor => tensor(data, shape, { device, requiresGrad: true });

interface Use {
  readonly use: string;
  /** Shape of the tensor whose memory is gone. */
  readonly sizes: readonly number[];
  readonly run: (lent: Tensor, layer: BatchNorm1d) => Promise<unknown>;
}

const uses: readonly Use[] = [
  { use: 'forward of x', sizes: shape, run: (lent, layer) => layer.forward(lent) },
  { use: 'forward of a donated x', sizes: shape, run: (lent, layer) => layer.forward(lent.detach().donate()) },
  {
    use: 'forward with the weight',
    sizes: [4],
    run: (lent, layer) => {
      layer.weight?.replaceStorage(lent.storage.retain());
      return layer.forward(whole());
    },
  },
  {
    use: 'evaluation with the running variance',
    sizes: [4],
    run: (lent, layer) => {
      layer.runningVar?.replaceStorage(lent.storage.retain());
      return layer.eval().forward(whole());
    },
  },
  { use: 'reading', sizes: shape, run: (lent) => lent.data() },
  { use: 'moving to the CPU', sizes: shape, run: (lent) => lent.to('cpu') },
  { use: 'moving to another GPU', sizes: shape, run: (lent) => lent.to('webgpu:1') },
  { use: 'copying to another tensor', sizes: shape, run: (lent) => whole().copy_(lent) },
  { use: 'moments', sizes: shape, run: (lent) => functional.moments(lent) },
  {
    use: 'the batch norm function',
    sizes: shape,
    run: (lent, { runningMean, runningVar }) => functional.batchNorm(lent, runningMean, runningVar, { training: true }),
  },
  {
    use: 'renewing running statistics',
    sizes: [4],
    run: async (lent, { runningVar }) => {
      const merged = await functional.mergeMoments([await functional.moments(whole())], device);
      await functional.updateRunning(merged, lent, runningVar ?? lent);
    },
  },
  {
    use: 'normalizing',
    sizes: shape,
    run: async (lent) => {
      const merged = await functional.mergeMoments([await functional.moments(whole())], device);
      return functional.normalize(lent, await functional.finalize(merged, whole()));
    },
  },
  {
    use: 'backward from dy',
    sizes: shape,
    run: async (lent, layer) => {
      const y = await layer.eval().forward(whole());
      await y.backward(lent);
    },
  },
  {
    use: 'forward on several devices',
    sizes: shape,
    run: (lent) => {
      const layer = new SynchronizedBatchNorm1d(4, { device });
      return new DataParallelWithCallBack(layer, { deviceIds: names }).forward(lent);
    },
  },
];

describe.each(faults)('memory that is $fault', ({ lend }) => {
  it.each(uses)('fails $use, and nothing else', async ({ sizes, run }) => {
    const layer = new BatchNorm1d(4, { device });
    const [bystander, before] = [whole(), await stateOf(layer)];
    const { lent, strike } = await lend(sizes);
    strike();
    const attempt = run(lent, layer);
    const innocent = bystander.data();
    await expect(attempt).rejects.toThrow(ValidationError);
    expectSameBits(await innocent, data);
    await settled();
    expectSameBits(await bystander.data(), data);
    if (lent.storage !== layer.runningVar?.storage && lent.storage !== layer.weight?.storage) {
      expect(await stateOf(layer)).toEqual(before);
    }
    expect(layer.numBatchesTracked).toBe(0);
    const y = await new BatchNorm1d(4, { device }).forward(bystander);
    expect((await y.data()).every(Number.isFinite)).toBe(true);
  });

  it('changes no gradient when a backward pass uses it', async () => {
    const layer = new BatchNorm1d(4, { device });
    const x = whole();
    const [first, second] = [await layer.forward(x), await layer.forward(x)];
    await first.backward(tensor(data, shape, { device }));
    const gradients = async (): Promise<unknown> =>
      Promise.all([x, layer.weight, layer.bias].map(async (leaf) => leaf?.grad?.data()));
    const before = await gradients();
    const { lent, strike } = await lend(shape);
    strike();
    await expect(second.backward(lent)).rejects.toThrow(ValidationError);
    expect(await gradients()).toEqual(before);
  });

  it('changes no gradient when a backward pass adds to it', async () => {
    const [x, other] = [whole(), whole()];
    const { lent, strike } = await lend(shape);
    x.grad = lent.detach();
    const sum = await add(x, other);
    strike();
    await expect(sum.backward(tensor(data, shape, { device }))).rejects.toThrow(ValidationError);
    expect(other.grad).toBeNull();
    expect(x.grad.storage).toBe(lent.storage);
  });

  it('is told to whoever uses what came of it, if that was not awaited', async () => {
    const gpu = devices.get(device);
    const { lent, strike } = await lend(shape);
    strike();
    const [sum, twice] = [gpu.allocate(16), gpu.allocate(16)];
    gpu.run({ operation: 'add', a: lent.storage.buffer, b: lent.storage.buffer, target: sum });
    gpu.run({ operation: 'add', a: sum, b: sum, target: twice });
    await expect(gpu.read(twice)).rejects.toThrow(ValidationError);
    expect(() => gpu.run({ operation: 'add', a: sum, b: sum, target: twice })).toThrow(ValidationError);
    gpu.run({ operation: 'fill', target: sum, value: 3 });
    expectSameBits(await gpu.read(sum), new Array(16).fill(3));
    [sum, twice].forEach((buffer) => gpu.release(buffer));
  });
});

describe('training batches with lent memory', () => {
  it('that are given at once are counted one after the other, as without', async () => {
    const layers = [new BatchNorm1d(4, { device }), new BatchNorm1d(4, { device })] as const;
    const buffer = whole();
    buffer.gpuBuffer();
    await Promise.all([layers[0].forward(buffer), layers[0].forward(buffer)]);
    await Promise.all([layers[1].forward(whole()), layers[1].forward(whole())]);
    expect(await stateOf(layers[0])).toEqual(await stateOf(layers[1]));
  });

  it('leave no memory behind when they fail', async () => {
    const layer = new BatchNorm1d(4, { device });
    await layer.forward(whole());
    const gpu = devices.get(device);
    const fail = async (): Promise<number> => {
      const buffer = gpu.gpuDevice.createBuffer({ size: 64, usage });
      const lent = await tensorFromGPUBuffer(buffer, shape, { device });
      buffer.destroy();
      await expect(layer.forward(lent)).rejects.toThrow(ValidationError);
      lent.dispose();
      return gpu.memoryUsage().buffers;
    };
    const first = await fail();
    expect(await fail()).toBe(first);
  });
});

describe('a GPUDevice that is destroyed between two passes', () => {
  it.each<[string, (layer: BatchNorm1d, x: Tensor) => Promise<unknown>]>([
    ['a forward', (layer, x) => layer.forward(x)],
    ['a read', (_layer, x) => x.data()],
    ['a move', (_layer, x) => x.to('cpu')],
  ])('fails %s that follows without a pause, and changes nothing', async (_name, run) => {
    const gpu = await devices.create();
    const layer = new BatchNorm1d(4, { device: gpu.name });
    const x = tensor(data, shape, { device: gpu.name });
    await (await layer.forward(x)).data();
    gpu.gpuDevice.destroy();
    await expect(run(layer, x)).rejects.toThrow(/was lost.*its GPUDevice was destroyed/);
    expect(layer.numBatchesTracked).toBe(1);
    await devices.close(gpu.name);
  });
});
