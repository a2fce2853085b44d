/** Memory that somebody outside the library has: a `GPUBuffer` that was adopted, or handed out. The library only reads it. */

import {
  BatchNorm1d,
  DataParallelWithCallBack,
  defineFunction,
  devices,
  functional,
  init,
  noGrad,
  SynchronizedBatchNorm1d,
  tensor,
  tensorFromGPUBuffer,
  type Tensor,
} from 'syncbn';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { add } from '../support/operations.ts';

const device = 'webgpu:0';
const shape = [4, 1];
const initial = [1, 2, 4, 9];

beforeAll(() => init([device, 'webgpu:1']));

/** A buffer of a page's other engine, twice as large as the tensors on it. */
class Owner {
  readonly buffer: GPUBuffer;

  constructor() {
    const { gpuDevice } = devices.get(device);
    // STORAGE, COPY_SRC and COPY_DST.
    this.buffer = gpuDevice.createBuffer({ size: 32, usage: 0x80 | 0x4 | 0x8 });
    gpuDevice.queue.writeBuffer(this.buffer, 0, Float32Array.of(...initial, ...initial));
  }

  lend(requiresGrad = false): Promise<Tensor> {
    return tensorFromGPUBuffer(this.buffer, shape, { device, requiresGrad });
  }

  /** The whole buffer, read without the tensors under test. */
  async expectUnchanged(): Promise<void> {
    const whole = await tensorFromGPUBuffer(this.buffer, [8], { device });
    expectSameBits(await whole.data(), [...initial, ...initial]);
    whole.dispose();
  }
}

const ones = (): Tensor => tensor([1, 1, 1, 1], shape, { device });

/** An operation whose gradient is a tensor that it got from elsewhere. */
function returning(gradient: () => Tensor | Promise<Tensor>): (x: Tensor) => Promise<Tensor> {
  return defineFunction({ forward: (_context, x: Tensor) => x, backward: () => gradient() });
}

interface Use {
  readonly name: string;
  readonly run: (owner: Owner) => Promise<unknown>;
}

const uses: readonly Use[] = [
  {
    name: 'two passes from a leaf that is adopted',
    run: async (owner) => {
      const x = await owner.lend(true);
      await x.backward(ones());
      await x.backward(ones());
    },
  },
  {
    name: 'two passes that an adopted gradient starts and that nobody else holds',
    run: async (owner) => {
      const x = tensor(initial, shape, { device, requiresGrad: true });
      for (let pass = 0; pass < 2; pass += 1) {
        const dy = await owner.lend();
        const running = x.backward(dy);
        dy.dispose();
        await running;
      }
    },
  },
  {
    name: 'an adopted gradient that was donated',
    run: async (owner) => {
      const bn = new BatchNorm1d(1, { device });
      const x = tensor(initial, shape, { device, requiresGrad: true });
      await (await bn.forward(x)).backward((await owner.lend()).donate());
      await x.backward(ones());
    },
  },
  {
    name: 'a backward function that returns an adopted tensor',
    run: async (owner) => {
      const x = tensor(initial, shape, { device, requiresGrad: true });
      const identity = returning(() => owner.lend());
      await (await identity(x)).backward(ones());
      await (await identity(x)).backward(ones());
    },
  },
  {
    name: 'an adopted gradient that meets another on the way to one input',
    run: async (owner) => {
      const x = tensor(initial, shape, { device, requiresGrad: true });
      const y = await returning(() => owner.lend())(x);
      const z = await returning(() => owner.lend())(x);
      await (await add(y, z)).backward(ones());
    },
  },
  {
    name: 'a grad that is adopted',
    run: async (owner) => {
      const x = tensor(initial, shape, { device, requiresGrad: true });
      x.grad = await owner.lend();
      await x.backward(ones());
      expectSameBits(
        await x.grad.data(),
        initial.map((value) => value + 1),
      );
    },
  },
  {
    name: 'an adopted input that was donated to a layer',
    run: async (owner) => noGrad(async () => new BatchNorm1d(1, { device }).forward((await owner.lend()).donate())),
  },
  {
    name: 'an adopted input that was donated to a step',
    run: async (owner) => {
      const x = await owner.lend();
      const statistics = await functional.finalize(await functional.moments(x), x);
      await functional.normalize(x.donate(), statistics);
    },
  },
  {
    name: 'one buffer that was adopted twice and donated once',
    run: async (owner) => {
      const [kept, given] = [await owner.lend(), await owner.lend()];
      await noGrad(() => new BatchNorm1d(1, { device }).forward(given.donate()));
      expectSameBits(await kept.data(), initial);
    },
  },
  {
    name: 'other values for an adopted tensor',
    run: async (owner) => {
      const x = await owner.lend();
      await x.copy_(Float32Array.of(5, 6, 7, 8));
      expectSameBits(await x.data(), [5, 6, 7, 8]);
    },
  },
];

describe('an adopted buffer keeps its values after', () => {
  it.each(uses)('$name', async ({ run }) => {
    const owner = new Owner();
    await run(owner);
    await owner.expectUnchanged();
  });
});

describe('tensorFromGPUBuffer()', () => {
  const adopt = tensorFromGPUBuffer as (...args: unknown[]) => Promise<Tensor>;

  it.each([
    ['no options', [[4, 1]], 'expected the device of the buffer'],
    ['options without a device', [[4, 1], { requiresGrad: true }], 'expected the device of the buffer'],
    ['options in place of the shape', [{ device }], 'expected'],
    ['a shape that nobody awaited', [Promise.resolve([4, 1]), { device }], 'got a promise (await it)'],
    ['the device of another kind', [[4, 1], { device: 'cpu' }], 'expected a WebGPU device'],
  ])('refuses %s', async (_, args, text) => {
    await expect(adopt(new Owner().buffer, ...args)).rejects.toThrow(text);
  });
});

describe('a buffer that was handed out', () => {
  it('keeps its values when its tensor is donated', async () => {
    const batch = tensor(initial, shape, { device });
    const buffer = batch.gpuBuffer();
    const y = await noGrad(() => new BatchNorm1d(1, { device }).eval().forward(batch.donate()));
    const memory = await tensorFromGPUBuffer(buffer, shape, { device });
    expectSameBits(await memory.data(), initial);
    expect(await y.data()).not.toEqual(await memory.data());
  });

  it.each(['weight', 'bias', 'runningMean', 'runningVar'] as const)(
    'is read anew by every device when it is the %s of a layer on two',
    async (name) => {
      const outputs = await Promise.all(
        [['webgpu:0'], ['webgpu:0', 'webgpu:1']].map(async (deviceIds) => {
          const bn = new SynchronizedBatchNorm1d(1, { device });
          const net = new DataParallelWithCallBack(bn, { deviceIds }).eval();
          const x = tensor(initial, shape, { device });
          await net.forward(x);
          const buffer = bn[name]?.gpuBuffer();
          if (buffer === undefined) throw new Error(`expected a ${name}`);
          for (const value of [2, 3]) {
            devices.get(device).gpuDevice.queue.writeBuffer(buffer, 0, Float32Array.of(value));
            await net.forward(x);
          }
          return (await net.forward(x)).data();
        }),
      );
      expectSameBits(outputs[1] ?? [], outputs[0] ?? []);
    },
  );
});
