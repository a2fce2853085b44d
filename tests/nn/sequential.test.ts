import {
  BatchNorm1d,
  devices,
  Module,
  noGrad,
  Parameter,
  Sequential,
  SynchronizedBatchNorm1d,
  tensor,
  type Tensor,
} from 'syncbn';
import { beforeEach, describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { freshDevice } from '../support/fresh_device.ts';
import { multiply } from '../support/operations.ts';

describe('Sequential', () => {
  it('calls its modules in turn, also one that stands there twice', async () => {
    class Double extends Module {
      readonly factor = new Parameter(tensor([2]));
      async forward(x: Tensor): Promise<Tensor> {
        return multiply(x, this.factor);
      }
    }
    const double = new Double();
    const net = new Sequential(double, new Double(), double);
    expectSameBits(await (await net.forward(tensor([1]))).data(), [8]);
    expect([...net.namedChildren()].map(([name]) => name)).toEqual(['0', '1']);
    expect(Object.keys(net.stateDict())).toEqual(['0.factor', '1.factor', '2.factor']);
  });

  it('without modules gives back its input', async () => {
    const x = tensor([1]);
    expect(await new Sequential().forward(x)).toBe(x);
  });

  it.each([
    ['a function', (): null => null, 'position 1'],
    ['a class', BatchNorm1d, 'the function or class BatchNorm1d'],
    ['null', null, 'got null'],
    ['an object with a forward', { forward: (): null => null }, 'got an object at position 1'],
    ['a module without a forward', Object.assign(new Sequential(), { forward: undefined }), 'has no forward()'],
  ])('refuses %s', (_, item, text) => {
    const make = (): Sequential => new Sequential(new BatchNorm1d(1), item as unknown as Module);
    expect(make).toThrow(TypeError);
    expect(make).toThrow(text);
  });
});

describe('between the layers of a Sequential', () => {
  let device = '';

  beforeEach(async () => {
    device = await freshDevice('cpu');
  });

  const buffers = (): number => devices.get(device).memoryUsage().buffers;
  const batch = (requiresGrad = false): Tensor => tensor([1, 2, 4, 9], [4, 1], { device, requiresGrad });
  const layer = (): BatchNorm1d => new BatchNorm1d(1, { device });

  /** Holds what it takes and gives, in a way that nobody can see. */
  class Holding extends Module {
    readonly list: () => readonly Tensor[];
    private readonly note: (x: Tensor) => void;
    private readonly run: (x: Tensor) => Promise<Tensor>;

    constructor(run: (x: Tensor) => Promise<Tensor>) {
      super();
      const held: Tensor[] = [];
      this.list = () => held;
      this.note = (x) => held.push(x);
      this.run = run;
    }

    async forward(x: Tensor): Promise<Tensor> {
      const y = await this.run(x);
      [x, y].forEach(this.note);
      return y;
    }
  }

  it.each<[string, () => Module[]]>([
    ['three layers', () => [layer(), layer(), layer()]],
    ['synchronized ones', () => [layer(), new SynchronizedBatchNorm1d(1, { device }), layer()]],
    [
      'nested ones, some of them empty',
      () => [new Sequential(layer(), layer()), new Sequential(), layer(), new Sequential()],
    ],
  ])('nothing is left of an evaluation: %s', async (_, make) => {
    const net = new Sequential(...make()).eval();
    const x = batch();
    const before = buffers();
    for (let step = 0; step < 3; step += 1) {
      const y = await noGrad(() => net.forward(x));
      expect(buffers()).toBe(before + 1);
      y.dispose();
    }
    expect(buffers()).toBe(before);
    expectSameBits(await x.data(), [1, 2, 4, 9]);
  });

  it('nothing is left of a step of training, and the gradients are those of the layers one by one', async () => {
    const gradients: Float32Array[] = [];
    for (const isSequential of [true, false]) {
      const layers = [layer(), layer()] as const;
      const [x, dy] = [batch(true), tensor([1, 0, 0, 3], [4, 1], { device })];
      const before = buffers();
      const y = isSequential
        ? await new Sequential(...layers).forward(x)
        : await layers[1].forward(await layers[0].forward(x));
      await y.backward(dy);
      gradients.push((await x.grad?.data()) ?? new Float32Array());
      layers.forEach((each) => each.zeroGrad());
      y.dispose();
      x.grad?.dispose();
      x.grad = null;
      if (isSequential) expect(buffers()).toBe(before);
    }
    expectSameBits(gradients[0] ?? [], gradients[1] ?? []);
  });

  it('nothing is left when a layer fails', async () => {
    const net = new Sequential(layer(), layer(), new BatchNorm1d(2, { device })).eval();
    const x = batch();
    const before = buffers();
    await expect(net.forward(x)).rejects.toThrow('should contain 1 elements');
    expect(buffers()).toBe(before);
  });

  it.each<[string, (x: Tensor) => Promise<Tensor>]>([
    ['returns what it takes', (x) => Promise.resolve(x)],
    ['returns another tensor', (x) => multiply(x, x)],
  ])('a module that %s and holds both finds both alive', async (_, run) => {
    const modules = [new Holding(run), new Holding(run)] as const;
    const y = await new Sequential(layer(), modules[0], layer(), layer(), modules[1], layer()).forward(batch());
    const held = modules.flatMap((module) => module.list());
    expect(held).toHaveLength(4);
    await Promise.all([...held, y].map((each) => each.data()));
  });

  it.each<[string, (bn: BatchNorm1d, note: (x: Tensor) => void) => BatchNorm1d]>([
    [
      'as a property of its own',
      (bn, note) => {
        const forward = bn.forward.bind(bn);
        return Object.assign(bn, {
          forward: async (x: Tensor): Promise<Tensor> => {
            note(x);
            const y = await forward(x);
            note(y);
            return y;
          },
        });
      },
    ],
    [
      'in a subclass',
      (_, note) => {
        class Watched extends BatchNorm1d {
          override async forward(x: Tensor): Promise<Tensor> {
            note(x);
            const y = await super.forward(x);
            note(y);
            return y;
          }
        }
        return new Watched(1, { device });
      },
    ],
  ])('a layer whose forward is watched, %s, may be held on to', async (_, watch) => {
    const held: Tensor[] = [];
    const net = new Sequential(
      layer(),
      watch(layer(), (x) => held.push(x)),
      layer(),
    );
    const y = await new Sequential(net, layer()).forward(batch());
    expect(held).toHaveLength(2);
    await Promise.all([...held, y].map((each) => each.data()));
  });

  it('the input stays, also when the first layer gives it on', async () => {
    const x = batch();
    await new Sequential(new Sequential(), layer(), layer()).forward(x);
    expectSameBits(await x.data(), [1, 2, 4, 9]);
  });
});
