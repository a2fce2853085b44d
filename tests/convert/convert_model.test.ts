import {
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  type ConversionReport,
  convertModel,
  CyclicModuleError,
  DataParallel,
  DataParallelWithCallBack,
  init,
  Module,
  type Parameter,
  patchReplicationCallback,
  Sequential,
  SynchronizedBatchNorm1d,
  SynchronizedBatchNorm2d,
  SynchronizedBatchNorm3d,
  tensor,
  type BatchNorm,
  type Tensor,
} from 'syncbn';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds, deviceNames, oneDeviceOf } from '../support/device_kinds.ts';
import { randomArray } from '../support/random.ts';

/** A user's block with a layer of its own, a nested one and one it may share. */
class Block extends Module {
  readonly bn: BatchNorm;
  readonly inner = new Sequential(new BatchNorm1d(2), new Sequential(new BatchNorm3d(4)));
  readonly note = { text: 'kept' };

  constructor(bn: BatchNorm) {
    super();
    this.bn = bn;
  }

  async forward(x: Tensor): Promise<Tensor> {
    return Promise.resolve(x);
  }
}

const classes = [
  [BatchNorm1d, SynchronizedBatchNorm1d],
  [BatchNorm2d, SynchronizedBatchNorm2d],
  [BatchNorm3d, SynchronizedBatchNorm3d],
] as const;

describe('convertModel', () => {
  it.each(classes)('replaces a root %o, and revert brings it back', (plain, synchronized) => {
    const bn = new plain(3);
    const converted: unknown = convertModel(bn);
    expect(Object.getPrototypeOf(converted)).toBe(synchronized.prototype);
    expect(Object.getPrototypeOf(convertModel.revert(converted as Module))).toBe(plain.prototype);
    expect(Object.getPrototypeOf(bn)).toBe(plain.prototype);
  });

  it('keeps a root that is not replaced, and reaches every depth', () => {
    const model = new Sequential(new Block(new BatchNorm2d(3)), new Sequential(new Sequential(new BatchNorm1d(1))));
    expect(convertModel(model)).toBe(model);
    const names = [...model.modules()].map(({ constructor }) => constructor.name);
    expect(names.filter((name) => name.startsWith('BatchNorm'))).toEqual([]);
    expect(names.filter((name) => name.startsWith('SynchronizedBatchNorm'))).toHaveLength(4);
    expect(convertModel.revert(model)).toBe(model);
    expect([...model.modules()].some((module) => module.constructor.name.startsWith('Synchronized'))).toBe(false);
  });

  it('keeps the order and the keys of the model', () => {
    const model = new Block(new BatchNorm2d(3));
    const before = [...Object.keys(model.stateDict()), ...[...model.namedModules()].map(([path]) => path)];
    convertModel(model);
    expect([...Object.keys(model.stateDict()), ...[...model.namedModules()].map(([path]) => path)]).toEqual(before);
  });

  it('keeps a layer shared that two parents share', () => {
    const shared = new BatchNorm1d(2);
    const model = new Sequential(new Block(shared), new Block(shared));
    convertModel(model);
    const [a, b] = [...model.children()] as [Block, Block];
    expect(a.bn).toBeInstanceOf(SynchronizedBatchNorm1d);
    expect(a.bn).toBe(b.bn);
  });

  it('keeps parameters, buffers, counters, settings and properties of the user', async () => {
    const bn = new BatchNorm1d(2, { eps: 0.25, momentum: null, bias: false, numerics: 'torch' });
    await bn.forward(tensor(randomArray(1, 12), [6, 2]));
    bn.eval();
    bn.trackRunningStats = false;
    if (bn.weight !== null) bn.weight.requiresGrad = false;
    Object.assign(bn, { tag: 'mine', hook: () => 7 });
    const model = new Sequential(bn);
    convertModel(model);
    const [twin] = [...model.children()] as [SynchronizedBatchNorm1d & { tag: string; hook: () => number }];
    for (const name of [
      'weight',
      'bias',
      'runningMean',
      'runningVar',
      'eps',
      'momentum',
      'affine',
      'numerics',
    ] as const) {
      expect(twin[name], name).toBe(bn[name]);
    }
    expect([twin.training, twin.trackRunningStats, twin.numBatchesTracked, twin.weight?.requiresGrad]).toEqual([
      false,
      false,
      1,
      false,
    ]);
    expect([twin.tag, twin.hook()]).toEqual(['mine', 7]);
    convertModel.revert(model);
    const [back] = [...model.children()] as [BatchNorm1d & { tag: string }];
    expect([back.constructor, back.weight, back.runningVar, back.numBatchesTracked, back.tag]).toEqual([
      BatchNorm1d,
      bn.weight,
      bn.runningVar,
      1,
      'mine',
    ]);
    expect(Object.keys(back)).toEqual(Object.keys(bn));
  });

  it('gives its options to the new layers, and leaves those that are synchronized already', () => {
    const own = new SynchronizedBatchNorm1d(2, { syncTimeout: 99 });
    const model = new Sequential(new BatchNorm1d(2), own);
    convertModel(model, { syncTimeout: 3, onTimeout: 'error', epsMode: 'clamp' });
    const [twin, same] = [...model.children()];
    expect(twin).toMatchObject({ syncTimeout: 3, onTimeout: 'error', epsMode: 'clamp' });
    expect(same).toBe(own);
    expect(own.syncTimeout).toBe(99);
  });

  it('changes nothing the second time', () => {
    const model = new Sequential(new BatchNorm1d(2), new DataParallel(new BatchNorm2d(2)));
    const once = [...convertModel(model).modules()];
    expect([...convertModel(model).modules()]).toEqual(once);
    once.forEach((module, i) => expect([...model.modules()][i]).toBe(module));
  });

  it('makes a DataParallel one with callbacks, with its devices, output and dimension, and back', () => {
    const options = { deviceIds: ['cpu:1', 'cpu:0'], outputDevice: 'cpu:2', dim: 1 };
    const net = new DataParallel(new Sequential(new BatchNorm2d(2)), options);
    const converted = convertModel(net);
    expect(converted).toBeInstanceOf(DataParallelWithCallBack);
    expect(converted).toMatchObject(options);
    expect(converted.module).toBe(net.module);
    const back = convertModel.revert(converted);
    expect(back).not.toBeInstanceOf(DataParallelWithCallBack);
    expect(back).toMatchObject(options);
    expect([...back.modules()].map(({ constructor }) => constructor)).toEqual([DataParallel, Sequential, BatchNorm2d]);
  });

  it('replaces both a wrapper and the layer in it', () => {
    const converted = convertModel(new DataParallel(new BatchNorm2d(2)));
    expect(converted.module).toBeInstanceOf(SynchronizedBatchNorm2d);
    const model = new Sequential(new DataParallel(new BatchNorm2d(2)));
    convertModel(model);
    const [wrapper] = [...model.children()] as [DataParallelWithCallBack];
    expect(wrapper).toBeInstanceOf(DataParallelWithCallBack);
    expect(wrapper.module).toBeInstanceOf(SynchronizedBatchNorm2d);
  });

  it('remembers that a wrapper was patched', () => {
    const patched = patchReplicationCallback(new DataParallel(new BatchNorm2d(2)));
    const converted = convertModel(patched);
    expect(converted).toBeInstanceOf(DataParallelWithCallBack);
    expect(convertModel.revert(converted).hasReplicationCallback).toBe(true);
    expect(convertModel.revert(new DataParallelWithCallBack(new BatchNorm2d(2))).hasReplicationCallback).toBe(false);
  });

  it('converts a subclass that only chooses arguments, and gives it back', () => {
    class Gentle extends BatchNorm2d {
      constructor(channels: number) {
        super(channels, { momentum: 0.01 });
      }
    }
    const model = new Sequential(new Gentle(2));
    convertModel(model);
    expect([...model.children()][0]).toBeInstanceOf(SynchronizedBatchNorm2d);
    convertModel.revert(model);
    expect([...model.children()][0]).toBeInstanceOf(Gentle);
  });

  describe('leaves what has behaviour of its own', () => {
    const warn = vi.fn();
    beforeEach(() => {
      vi.spyOn(console, 'warn').mockImplementation(warn);
    });
    afterEach(() => {
      vi.restoreAllMocks();
      warn.mockReset();
    });

    class Loud extends BatchNorm2d {
      override async forward(x: Tensor): Promise<Tensor> {
        return super.forward(x);
      }
    }

    class Wrapper extends DataParallel {
      readonly label = (): string => 'no method has this name';
      override extraRepr(): string {
        return this.label();
      }
    }

    it('subclasses, with one warning per class that names all paths', () => {
      const [loud, again, wrapper] = [new Loud(2), new Loud(2), new Wrapper(new BatchNorm1d(2))];
      const model = new Sequential(loud, new Sequential(again, new BatchNorm2d(2)), wrapper);
      convertModel(model);
      expect([...model.modules()].filter((module) => module instanceof Loud)).toEqual([loud, again]);
      expect([...model.children()][2]).toBe(wrapper);
      expect(wrapper.module).toBeInstanceOf(SynchronizedBatchNorm1d);
      expect(warn.mock.calls.map(([text]) => String(text))).toEqual([
        expect.stringMatching(
          /left Loud at 0, 1\.0 as it was: its class defines forward itself; .*SynchronizedBatchNorm2d/,
        ),
        expect.stringMatching(/left Wrapper at 2 as it was: its class defines extraRepr itself/),
      ]);
      expect(convertModel(loud)).toBe(loud);
    });

    it.each<[string, (bn: BatchNorm1d) => unknown]>([
      [
        'a wrapped forward',
        (bn) => {
          const forward = bn.forward.bind(bn);
          bn.forward = (x) => forward(x);
        },
      ],
      ['an inherited forward that was bound', (bn) => (bn.forward = bn.forward.bind(bn))],
      ['a getter', (bn) => Object.defineProperty(bn, 'usesBatchStatistics', { get: () => false })],
    ])('layers with %s, with a warning, and they evaluate right', async (_, wrap) => {
      const bn = new BatchNorm1d(1);
      wrap(bn);
      const model = new Sequential(bn);
      convertModel(model).eval();
      expect([...model.children()]).toEqual([bn]);
      expect(warn).toHaveBeenCalledTimes(1);
      expect(String(warn.mock.calls[0]?.[0])).toMatch(
        /left BatchNorm1d at 0 as it was: it has a property \w+ of its own/,
      );
      const [x, expected] = [tensor([0, 2, 10, 12], [4, 1]), new BatchNorm1d(1).eval()];
      expectSameBits(await (await model.forward(x)).data(), await (await expected.forward(x)).data());
    });

    it('subclasses that set a method for each object, which would go on using the plain layer', () => {
      class Running extends BatchNorm1d {
        readonly run = async (x: Tensor): Promise<Tensor> => this.forward(x);
      }
      const bn = new Running(1);
      expect([...convertModel(new Sequential(bn)).children()]).toEqual([bn]);
      expect(String(warn.mock.calls[0]?.[0])).toContain('left Running at 0 as it was: its class sets the function run');
    });

    it('on the way back too', () => {
      const bn = new SynchronizedBatchNorm1d(1);
      bn.forward = bn.forward.bind(bn);
      const model = new Sequential(bn);
      convertModel.revert(model);
      expect([...model.children()]).toEqual([bn]);
      expect(String(warn.mock.calls[0]?.[0])).toContain('convertModel.revert() left SynchronizedBatchNorm1d at 0');
    });

    it('and reports it, instead of a warning, to whoever asks', () => {
      const report = vi.fn<(report: ConversionReport) => void>();
      const model = new Sequential(
        new Loud(2),
        new BatchNorm1d(2),
        new SynchronizedBatchNorm1d(2),
        new Block(new BatchNorm2d(2)),
      );
      convertModel(model, { onReport: report });
      expect(report.mock.calls).toEqual([
        [
          {
            converted: [
              { path: '1', from: 'BatchNorm1d', to: 'SynchronizedBatchNorm1d' },
              { path: '3.bn', from: 'BatchNorm2d', to: 'SynchronizedBatchNorm2d' },
              { path: '3.inner.0', from: 'BatchNorm1d', to: 'SynchronizedBatchNorm1d' },
              { path: '3.inner.1.0', from: 'BatchNorm3d', to: 'SynchronizedBatchNorm3d' },
            ],
            left: [
              { path: '0', type: 'Loud', reason: expect.stringContaining('extend SynchronizedBatchNorm2d') as string },
            ],
          },
        ],
      ]);
      expect(warn).not.toHaveBeenCalled();
      expect(() => convertModel(model, { onReport: true as never })).toThrow('expected onReport to be a function');
    });
  });

  it.each<[string, (model: Module) => unknown]>([
    ['a frozen module', (model) => Object.freeze(model)],
    ['a constant', (model) => Object.defineProperty(model, 'last', { value: new BatchNorm1d(2), enumerable: true })],
    [
      'a getter',
      (model) => {
        const bn = new BatchNorm1d(2);
        Object.defineProperty(model, 'last', { get: () => bn, enumerable: true });
      },
    ],
  ])('refuses a layer that cannot be replaced, in %s, before it changes anything', (_, prepare) => {
    const [first, second] = [new Sequential(new BatchNorm1d(2)), new Sequential(new BatchNorm1d(2))];
    prepare(second);
    const model = new Sequential(first, second);
    const before = model.toString();
    expect(() => convertModel(model)).toThrow(/expected the layer in the property \w+ of Sequential to be replaceable/);
    expect(model.toString()).toBe(before);
  });

  it('refuses what is no model, or no setting, before it changes anything', () => {
    const inner = new Sequential(new BatchNorm1d(2));
    const outer = new Sequential(inner);
    expect(() => convertModel(BatchNorm1d as unknown as Module)).toThrow(
      'expected a module, got the function or class BatchNorm1d',
    );
    expect(() => convertModel.revert(null as unknown as Module)).toThrow(
      'convertModel.revert(): expected a module, got null',
    );
    expect(() => convertModel(outer, { syncTimeout: 0 })).toThrow(RangeError);
    Object.assign(inner, { outer });
    expect(() => convertModel(outer)).toThrow(CyclicModuleError);
    expect([...inner.children()][0]).toBeInstanceOf(BatchNorm1d);
    expect([...inner.children()][0]).not.toBeInstanceOf(SynchronizedBatchNorm1d);
  });
});

describe.each(deviceKinds)('a converted model on %s', (kind) => {
  const names = deviceNames(kind, 3);
  const [first = '', second = ''] = names;

  beforeAll(() => init(names));

  it('trains as the plain one on one device, with the optimizer that held its parameters', async () => {
    const device = oneDeviceOf(kind);
    const plain = new Sequential(new BatchNorm2d(3, { device }));
    const net = new DataParallel(new Sequential(new BatchNorm2d(3, { device: first })), { deviceIds: names });
    const held = [...net.parameters()];
    const converted = convertModel(net);
    for (let step = 0; step < 3; step++) {
      for (const model of [plain, converted]) {
        const y = await model.forward(tensor(randomArray(step, 5 * 3 * 4), [5, 3, 2, 2], { device }));
        await y.backward(tensor(randomArray(9 + step, 5 * 3 * 4), [5, 3, 2, 2], { device: y.device }));
        for (const parameter of model === plain ? [...plain.parameters()] : held) await descend(parameter);
        model.zeroGrad();
      }
    }
    const [a, b] = [plain.stateDict(), converted.stateDict()];
    for (const [key, value] of Object.entries(a)) {
      const other = b[`module.${key}`];
      if (typeof value === 'number') expect(other).toBe(value);
      else expectSameBits(await (other as Tensor).data(), await value.data(), key);
    }
  });

  it('stays on its device', async () => {
    const model = await new Sequential(new BatchNorm2d(3)).to(second);
    convertModel(model);
    expect([...model.parameters(), ...model.buffers()].map(({ device }) => device)).toEqual([
      second,
      second,
      second,
      second,
    ]);
  });
});

async function descend(parameter: Parameter): Promise<void> {
  const gradient = (await parameter.grad?.data()) ?? new Float32Array();
  const values = await parameter.data();
  await parameter.copy_(values.map((value, i) => value - 0.1 * (gradient[i] ?? Number.NaN)));
}
