import {
  BatchNorm1d,
  DataParallel,
  DataParallelWithCallBack,
  devices,
  defineFunction,
  init,
  Module,
  noGrad,
  Parameter,
  patchReplicationCallback,
  Sequential,
  SynchronizedBatchNorm1d,
  tensor,
  type Tensor,
} from 'syncbn';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds, deviceNames } from '../support/device_kinds.ts';
import { collectGarbage } from '../support/event_loop.ts';
import { alike, multiply } from '../support/operations.ts';
import { randomArray } from '../support/random.ts';
import { Around, buffersOn, placed, Recorder, stateOf } from './modules.ts';

/** y = x · factor, a trained number. */
class Scaled extends Module {
  readonly factor: Parameter;
  readonly log: string[] = [];
  declare offset: Tensor | null;

  constructor(factor: number) {
    super();
    this.factor = new Parameter(tensor([factor], [1]));
    this.registerBuffer('offset', tensor([0], [1]));
  }

  async forward(x: Tensor): Promise<Tensor> {
    this.log.push(this.factor.device);
    return times(x, this.factor);
  }
}

/** One buffer under two names. */
class TwoNames extends Module {
  declare a: Tensor;
  declare b: Tensor;
  private readonly change: (net: TwoNames) => Promise<void>;

  constructor(change: (net: TwoNames) => Promise<void>) {
    super();
    const shared = tensor([1], [1]);
    this.registerBuffer('a', shared);
    this.registerBuffer('b', shared);
    this.change = change;
  }

  async forward(x: Tensor): Promise<Tensor> {
    await this.change(this);
    return x;
  }
}

const times = defineFunction({
  name: 'times',
  forward: async (context, x: Tensor, factor: Tensor) => {
    context.saveForBackward(x, factor);
    const by = await factor.item();
    return alike(
      x,
      (await x.data()).map((value) => value * by),
    );
  },
  backward: async (context, dy) => {
    const [x, factor] = context.savedTensors as [Tensor, Tensor];
    const [values, gradient, by] = [await x.data(), await dy.data(), await factor.item()];
    const sum = values.reduce((total, value, i) => total + value * (gradient[i] ?? Number.NaN), 0);
    return [
      alike(
        dy,
        gradient.map((value) => value * by),
      ),
      alike(factor, Float32Array.of(sum)),
    ];
  },
});

describe.each(deviceKinds)('replicas on %s', (kind) => {
  const names = deviceNames(kind, 3);
  const [first = '', second = '', third = ''] = names;

  beforeAll(() => init(names));

  it('have parameters on their own devices, whose gradients are summed onto the original', async () => {
    const module = new Scaled(3);
    const net = await placed(new DataParallel(module, { deviceIds: names }));
    const x = tensor([1, 2, 4], [3], { device: first, requiresGrad: true });
    const y = await net.forward(x);
    await y.backward(tensor([1, 10, 100], [3], { device: first }));
    expect([...module.log].sort()).toEqual(names);
    expect([...(await y.data())]).toEqual([3, 6, 12]);
    expect(await module.factor.grad?.item()).toBe(421);
    expect([...((await x.grad?.data()) ?? [])]).toEqual([3, 30, 300]);
  });

  it('sum gradients in order of replicas', async () => {
    // In f32, (1e8 + 1) − 1e8 is 0 and (1e8 − 1e8) + 1 is 1.
    const module = new Scaled(1);
    const net = await placed(new DataParallel(module, { deviceIds: names }));
    const y = await net.forward(tensor([1, 1, 1], [3], { device: first }));
    await y.backward(tensor([1e8, 1, -1e8], [3], { device: first }));
    expect(await module.factor.grad?.item()).toBe(0);
  });

  it('share everything but parameters and buffers by reference', async () => {
    class Attributes extends Module {
      readonly bag = { items: new Set<string>() };
      readonly scaled = new Scaled(2);
      readonly again = this.scaled;

      async forward(x: Tensor): Promise<Tensor> {
        this.bag.items.add(x.device);
        expect(this.scaled).toBe(this.again);
        return this.scaled.forward(x);
      }
    }
    const module = new Attributes();
    await (
      await placed(new DataParallel(module, { deviceIds: names }))
    ).forward(tensor([1, 2, 3], [3], { device: first }));
    expect([...module.bag.items].sort()).toEqual(names);
  });

  it('keep assignments to their own properties to themselves', async () => {
    class Counting extends Module {
      count = 0;
      async forward(x: Tensor): Promise<Tensor> {
        this.count += 1;
        return Promise.resolve(x);
      }
    }
    const several = new Counting();
    const x = tensor([1, 2], [2], { device: first });
    await (await placed(new DataParallel(several, { deviceIds: names }))).forward(x);
    expect(several.count).toBe(0);
    const one = new Counting();
    await (await placed(new DataParallel(one, { deviceIds: [first] }))).forward(x);
    expect(one.count).toBe(1);
  });

  it.each([true, false])(
    'have properties of the same kinds as the original, a getter among them: %s',
    async (hasGetter) => {
      const key = Symbol('key');
      const seen: Module[] = [];
      class Unusual extends Module {
        own = 1;
        readonly [key] = 2;
        readonly child = new BatchNorm1d(1);
        constructor() {
          super();
          Object.defineProperty(this, 'constant', { value: 3, enumerable: true });
          Object.defineProperty(this, 'hidden', { value: 4, writable: true });
          if (hasGetter) Object.defineProperty(this, 'twice', { get: () => 2 * this.own, enumerable: true });
        }
        async forward(x: Tensor): Promise<Tensor> {
          seen.push(this);
          return Promise.resolve(x);
        }
      }
      const module = new Unusual();
      const kindsOf = (of: Module): unknown =>
        Object.entries(Object.getOwnPropertyDescriptors(of))
          .map(([name, { value: _value, ...kind }]) => [name, kind] as const)
          .sort();
      await (
        await placed(new DataParallel(module, { deviceIds: names }))
      ).forward(tensor([1, 2, 3], [3], { device: first }));
      expect(seen).toHaveLength(names.length);
      for (const copy of seen) {
        expect(copy).not.toBe(module);
        expect(kindsOf(copy)).toEqual(kindsOf(module));
        expect(Reflect.get(copy, key)).toBe(2);
      }
    },
  );

  it.each<[string, (net: TwoNames) => Promise<void>, { a: number; b: number }]>([
    [
      'put another tensor into one place of a shared buffer',
      async (net) => void (net.a = await Promise.resolve(tensor([2], [1], { device: net.a.device }))),
      { a: 2, b: 1 },
    ],
    [
      'put another into the other place',
      async (net) => void (net.b = await Promise.resolve(tensor([3], [1], { device: net.b.device }))),
      { a: 1, b: 3 },
    ],
    ['change it in place', async (net) => expect(await net.a.copy_(Float32Array.of(7))).toBe(net.a), { a: 7, b: 7 }],
    ['leave it alone', () => Promise.resolve(), { a: 1, b: 1 }],
  ])('%s, and both places end as on one device', async (_, change, expected) => {
    const valuesOf = async (net: TwoNames): Promise<unknown> => ({ a: await net.a.item(), b: await net.b.item() });
    for (const count of [1, 2, 3]) {
      const net = await placed(new DataParallel(new TwoNames(change), { deviceIds: names.slice(0, count) }));
      await net.forward(tensor([1, 2, 3], [3, 1]));
      expect(await valuesOf(net.module), `${count} devices`).toEqual(expected);
      expect([net.module.a.device, net.module.b.device]).toEqual([names[0], names[0]]);
    }
  });

  it('give the original the buffers of replica 0, and drop those of others', async () => {
    const module = new Around(new Scaled(1), async (layer, x) => {
      await layer.offset?.copy_(x);
      return x.detach();
    });
    await (
      await placed(new DataParallel(module, { deviceIds: names }))
    ).forward(tensor([7, 8, 9], [3], { device: first }));
    expect(await module.layer.offset?.item()).toBe(7);
    expect(module.layer.offset?.device).toBe(first);
  });

  it('cost nothing that stays but a copy of each parameter and buffer per device', async () => {
    const net = await placed(new DataParallel(new Scaled(3), { deviceIds: names }));
    await collectGarbage();
    const before = buffersOn(names);
    const kept = (): number[] => buffersOn(names).map((count, r) => count - (before[r] ?? 0));
    for (let pass = 0; pass < 2; pass++) {
      const x = tensor([1, 2, 3], [3], { device: first });
      const y = await noGrad(() => net.forward(x));
      y.dispose();
      x.dispose();
      // The outputs of the user's own operations are given back once they are gathered.
      expect(kept()).toEqual([0, 2, 2]);
    }
    await net.module.factor.copy_(Float32Array.of(4));
    expect(kept().slice(1)).toEqual([1, 1]);
    net.module.offset?.dispose();
    expect(kept().slice(1)).toEqual([0, 0]);
  });

  it('give the gradients of the whole batch on one device', async () => {
    const shape = [7, 3];
    const run = async (deviceIds: string[]): Promise<Float32Array[]> => {
      const [bn, scaled] = [new BatchNorm1d(3).eval(), new Scaled(1.5)];
      const net = await placed(new DataParallel(new Sequential(scaled, bn), { deviceIds }));
      const x = tensor(randomArray(1, 21), shape, { device: first, requiresGrad: true });
      const y = await net.forward(x);
      await y.backward(tensor(randomArray(2, 21), shape, { device: first }));
      return [await y.data(), (await x.grad?.data()) ?? new Float32Array()];
    };
    const whole = await run([first]);
    (await run(names)).forEach((values, i) => expectSameBits(values, whole[i] ?? []));
  });

  it('are on the devices in the order given', async () => {
    const net = new DataParallelWithCallBack(await new Scaled(2).to(third), { deviceIds: [third, first, second] });
    const y = await net.forward(tensor([1, 2, 3], [3], { device: first }));
    expect([net.deviceIds, net.outputDevice, y.device]).toEqual([[third, first, second], third, third]);
    expect(net.module.log).toEqual([third, first, second]);
  });

  it('may return what is theirs', async () => {
    const module = new Around(new Scaled(3), async (layer) => Promise.resolve(layer.factor));
    const net = await placed(new DataParallel(module, { deviceIds: names }));
    for (const samples of [1, 3]) {
      const y = await net.forward(tensor(new Float32Array(samples), [samples], { device: first }));
      expect([...(await y.data())]).toEqual(Array.from({ length: samples }, () => 3));
    }
    expect(await module.layer.factor.item()).toBe(3);
  });

  it('need the module on the first device', async () => {
    const message = (found: string): string =>
      `module must have its parameters and buffers on device ${first} (deviceIds[0]) but found one of them on device: ${found}`;
    const x = tensor([1, 2], [2], { device: first });
    const moved = new DataParallel(await new Scaled(2).to(second), { deviceIds: [first, second] });
    await expect(moved.forward(x)).rejects.toThrow(message(second));
    const buffer = await new Scaled(2).to(first);
    buffer.offset = tensor([0], [1], { device: third });
    await expect(new DataParallel(buffer, { deviceIds: [first] }).forward(x)).rejects.toThrow(message(third));
  });
});

describe.each(deviceKinds)('one device of kind %s', (kind) => {
  const [first = '', second = ''] = deviceNames(kind, 2);
  const x = (): Tensor => tensor(randomArray(3, 8), [4, 2], { device: first });

  beforeAll(() => init([first, second]));

  it('calls the module itself with the inputs themselves, and ignores outputDevice', async () => {
    const recorder = new Recorder();
    const onReplicate = vi.spyOn(recorder, 'onReplicate');
    const net = new DataParallelWithCallBack(recorder, { deviceIds: [first], outputDevice: second });
    const input = x();
    expect(await net.forward(input)).toBe(input);
    expect(recorder.calls).toEqual([{ replica: 0, inputs: [input] }]);
    expect(onReplicate).not.toHaveBeenCalled();
  });

  it('gives the bits of the plain layer', async () => {
    const net = await placed(new DataParallelWithCallBack(new SynchronizedBatchNorm1d(2), { deviceIds: [first] }));
    const [y, plain] = [await net.forward(x()), await new BatchNorm1d(2, { device: first }).forward(x())];
    expectSameBits(await y.data(), await plain.data());
  });

  it('gives the state back when the forward fails', async () => {
    const module = new Around(new BatchNorm1d(2), async (layer, input) => {
      await layer.forward(input);
      throw new Error('after the layer');
    });
    const net = await placed(new DataParallel(module, { deviceIds: [first] }));
    const before = await stateOf(module);
    await expect(net.forward(x())).rejects.toThrow('after the layer');
    expect(await stateOf(module)).toEqual(before);
  });

  it('of several, when there is one chunk, still gathers on the output device', async () => {
    const net = await placed(
      new DataParallelWithCallBack(new SynchronizedBatchNorm1d(2), {
        deviceIds: [first, second],
        outputDevice: second,
      }),
    );
    const y = await net.forward(tensor([1, 2, 3, 4, 5, 6], [1, 2, 3], { device: first }));
    expect(y.device).toBe(second);
    expect(net.module.numBatchesTracked).toBe(1);
  });
});

describe.each(deviceKinds)('the default devices of a module on %s', (kind) => {
  const [first = '', second = ''] = deviceNames(kind, 2);

  it('are all of the kind, its own first; the calling thread gains nothing from several', async () => {
    await init([first, second]);
    const net = new DataParallelWithCallBack(await new SynchronizedBatchNorm1d(2).to(first));
    const expected = (own: string): readonly string[] => [
      own,
      ...devices.list().filter((name) => kind !== 'cpu' && name !== own && name.startsWith(`${kind}:`)),
    ];
    expect([net.deviceIds, net.outputDevice, net.dim]).toEqual([expected(first), first, 0]);
    await net.to(second);
    expect([net.deviceIds, net.outputDevice]).toEqual([expected(second), second]);
    const y = await net.forward(tensor(randomArray(3, 8), [4, 2], { device: first }));
    expect(y.device).toBe(second);
    expect(new DataParallel(new Recorder()).deviceIds).toEqual(['cpu:0']);
  });
});

describe('the wrapper', () => {
  it('prefixes names with module.', () => {
    const net = new DataParallelWithCallBack(new Sequential(new SynchronizedBatchNorm1d(2)));
    expect(Object.keys(net.stateDict())).toContain('module.0.running_mean');
    expect(net.module).toBeInstanceOf(Sequential);
    expect(String(net)).toMatch(/^DataParallelWithCallBack\(\n {2}\(module\): Sequential\(/);
  });

  it.each([
    ['a class instead of an instance', BatchNorm1d, 'the function or class BatchNorm1d'],
    ['a function', () => 1, 'expected a module, got an anonymous function or class'],
    ['null', null, 'got null'],
    ['an instance of another class', new Map(), 'got a value of class Map'],
  ])('refuses %s', (_, module, message) => {
    expect(() => new DataParallel(module as unknown as Module)).toThrow(TypeError);
    expect(() => new DataParallel(module as unknown as Module)).toThrow(message);
  });

  it('refuses a module that contains itself', () => {
    const inner = new Sequential();
    const outer = new Sequential(inner);
    Object.assign(inner, { outer });
    expect(() => new DataParallel(outer)).toThrow('must not contain itself');
  });

  it('is patched in place, and nothing else can be', () => {
    const plain = new DataParallel(new Recorder());
    expect(patchReplicationCallback(plain)).toBe(plain);
    expect(() => patchReplicationCallback(new Recorder() as never)).toThrow(
      'expected a DataParallel, got a value of class Recorder',
    );
  });
});

describe.each(deviceKinds)('gradients of replicas on %s', (kind) => {
  const [first = '', second = ''] = deviceNames(kind, 2);

  it('flow through operations of two replicas to one input used twice', async () => {
    await init([first, second]);
    const net = await placed(
      new DataParallel(new Around(new Scaled(2), async (layer, x) => multiply(await layer.forward(x), x)), {
        deviceIds: [first, second],
      }),
    );
    const x = tensor([3, 5], [2], { device: first, requiresGrad: true });
    const y = await net.forward(x);
    await y.backward(tensor([1, 1], [2], { device: first }));
    expect([...((await x.grad?.data()) ?? [])]).toEqual([12, 20]);
    expect(await net.module.layer.factor.grad?.item()).toBe(34);
  });
});
