import {
  BatchNorm1d,
  BatchNorm2d,
  DataParallel,
  DataParallelWithCallBack,
  type DeviceGroup,
  devices,
  init,
  Module,
  noGrad,
  patchReplicationCallback,
  SynchronizedBatchNorm1d,
  SynchronizedBatchNorm2d,
  tensor,
  type Tensor,
} from 'syncbn';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { cpuGroupOf } from '../../ts/device/cpu_group.ts';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds, deviceNames, oneDeviceOf } from '../support/device_kinds.ts';
import { collectGarbage } from '../support/event_loop.ts';
import { randomArray } from '../support/random.ts';
import { referenceForward } from '../support/reference.ts';
import { againstExact, expectWithin } from '../support/tolerances.ts';
import { Around, buffersOn, placed } from './modules.ts';

describe.each(deviceKinds)('a synchronized layer on %s', (kind) => {
  const names = deviceNames(kind, 3);
  const [first = ''] = names;
  /** Where plain layers are, whose bits a synchronized one must give. */
  const one = { device: oneDeviceOf(kind) };
  const shape = [6, 2, 4];
  const data = randomArray(1, 48);
  const gradient = randomArray(2, 48);

  beforeAll(() => init(names));
  afterEach(() => vi.restoreAllMocks());

  const batch = (requiresGrad = false): Tensor => tensor(data, shape, { requiresGrad });
  const wholeBatch = (requiresGrad = false): Tensor => tensor(data, shape, { ...one, requiresGrad });
  const spread = async <M extends Module>(module: M): Promise<DataParallelWithCallBack<M>> =>
    placed(new DataParallelWithCallBack(module, { deviceIds: names }));

  /** How often the devices have been asked for each partial result since the call. */
  function watchExchange(): Record<'moments' | 'backwardReduce' | 'merge', () => number> {
    const reductions = names.map((name) => vi.spyOn(devices.get(name), 'reduce'));
    const merges = names.map((name) => vi.spyOn(devices.get(name), 'merge'));
    const used = names.map((name) => devices.get(name));
    const group = cpuGroupOf(used) ?? used[0]?.group?.(used) ?? null;
    // Devices that exchange partials among themselves are told so at once, each its share. Where groups have a class, any of it is watched,
    // for one that has not been used yet may be made anew.
    const isOnly = group !== null && Object.hasOwn(group, 'batchNorm');
    const groupClass = isOnly ? group : group && (Object.getPrototypeOf(group) as DeviceGroup);
    const together = groupClass && {
      moments: vi.spyOn(groupClass, 'batchNorm'),
      backwardReduce: vi.spyOn(groupClass, 'batchNormBackward'),
    };
    const count = (of: 'moments' | 'backwardReduce') => (): number =>
      reductions.flatMap(({ mock }) => mock.calls).filter(([{ operation }]) => operation === of).length +
      (together?.[of].mock.calls ?? []).reduce((sum, [shares]) => sum + shares.length, 0);
    return {
      moments: count('moments'),
      backwardReduce: count('backwardReduce'),
      merge: () => merges.flatMap(({ mock }) => mock.calls).length,
    };
  }

  it('is the plain layer outside of DataParallelWithCallBack', async () => {
    const [synchronized, plain] = [new SynchronizedBatchNorm1d(2), new BatchNorm1d(2)];
    const [y, z] = [await synchronized.forward(batch()), await plain.forward(batch())];
    expectSameBits(await y.data(), await z.data());
    expectSameBits((await synchronized.runningVar?.data()) ?? [], (await plain.runningVar?.data()) ?? []);
  });

  it('prints as PyTorch prints it', () => {
    expect(String(new SynchronizedBatchNorm2d(64))).toBe(
      'SynchronizedBatchNorm2d(64, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)',
    );
  });

  it('never communicates in evaluation, not even with the others absent', async () => {
    const exchange = watchExchange();
    const bn = new SynchronizedBatchNorm1d(2);
    const net = (
      await spread(new Around(bn, async (layer, x, replica) => (replica === 1 ? x : layer.forward(x))))
    ).eval();
    await net.forward(batch());
    const untracked = new SynchronizedBatchNorm1d(2, { trackRunningStats: false });
    await (
      await spread(new Around(untracked, async (layer, x, replica) => (replica === 1 ? x : layer.forward(x))))
    )
      .eval()
      .forward(batch());
    expect([exchange.moments(), exchange.merge()]).toEqual([0, 0]);
    expect(bn.numBatchesTracked).toBe(0);
  });

  it('exchanges nothing in the backward pass that nobody needs', async () => {
    const exchange = watchExchange();
    const frozen = new SynchronizedBatchNorm1d(2).requiresGrad_(false);
    const y = await (await spread(frozen)).forward(batch());
    expect(y.requiresGrad).toBe(false);
    const z = await noGrad(async () => (await spread(new SynchronizedBatchNorm1d(2))).forward(batch(true)));
    expect(z.requiresGrad).toBe(false);
    const halfFrozen = new SynchronizedBatchNorm1d(2);
    if (halfFrozen.weight !== null) halfFrozen.weight.requiresGrad = false;
    const runs = names.map((name) => vi.spyOn(devices.get(name), 'run'));
    const w = await (await spread(halfFrozen)).forward(batch());
    await w.backward(tensor(gradient, shape, { device: first }));
    expect([halfFrozen.weight?.grad, halfFrozen.bias?.grad?.shape]).toEqual([null, [2]]);
    const operations = runs.flatMap(({ mock }) => mock.calls).map(([{ operation }]) => operation);
    expect(operations).not.toContain('backwardInput');
    expect(exchange.backwardReduce()).toBe(3);
  });

  it('gives dx to a frozen layer, and gradients to a layer whose input needs none', async () => {
    const x = batch(true);
    const y = await (await spread(new SynchronizedBatchNorm1d(2).requiresGrad_(false))).forward(x);
    await y.backward(tensor(gradient, shape, { device: first }));
    const plainX = wholeBatch(true);
    const z = await new BatchNorm1d(2, one).requiresGrad_(false).forward(plainX);
    await z.backward(tensor(gradient, shape, one));
    expectSameBits((await x.grad?.data()) ?? [], (await plainX.grad?.data()) ?? []);
  });

  it('keeps an offered input that a replica gives no gradient to, for the gradients of the others', async () => {
    const gradientOf = async (isDonated: boolean): Promise<Float32Array> => {
      const frozen = new SynchronizedBatchNorm1d(2).requiresGrad_(false);
      const constant = async (x: Tensor): Promise<Tensor> => tensor(await x.data(), x.shape, { device: x.device });
      const net = await spread(
        new Around(frozen, async (layer, x, replica) => {
          if (replica === 0) return layer.forward(x);
          const own = await constant(x);
          return layer.forward(isDonated ? own.donate() : own);
        }),
      );
      const x = batch(true);
      await (await net.forward(x)).backward(tensor(gradient, shape, { device: first }));
      return (await x.grad?.data()) ?? new Float32Array();
    };
    const kept = await gradientOf(false);
    expect(kept.some((value) => value !== 0)).toBe(true);
    expectSameBits(await gradientOf(true), kept);
  });

  it('meets twice when it is called twice', async () => {
    const twice = async (layer: { forward(x: Tensor): Promise<Tensor> }, x: Tensor): Promise<Tensor> =>
      layer.forward(await layer.forward(x));
    const [bn, plain] = [
      new SynchronizedBatchNorm1d(2, { momentum: null }),
      new BatchNorm1d(2, { ...one, momentum: null }),
    ];
    const [x, plainX] = [batch(true), wholeBatch(true)];
    const y = await (await spread(new Around(bn, twice))).forward(x);
    const z = await twice(plain, plainX);
    await y.backward(tensor(gradient, shape, { device: first }));
    await z.backward(tensor(gradient, shape, one));
    expectSameBits(await y.data(), await z.data());
    expectSameBits((await bn.runningMean?.data()) ?? [], (await plain.runningMean?.data()) ?? []);
    expectSameBits((await x.grad?.data()) ?? [], (await plainX.grad?.data()) ?? []);
    expectSameBits((await bn.weight?.grad?.data()) ?? [], (await plain.weight?.grad?.data()) ?? []);
    expect(bn.numBatchesTracked).toBe(2);
  });

  it('does not mix two layers in flight at once', async () => {
    class Parallel extends Module {
      readonly a = new SynchronizedBatchNorm1d(2);
      readonly b = new SynchronizedBatchNorm1d(2, { eps: 1 });
      private replica = 0;
      override onReplicate(_context: object, replica: number): void {
        this.replica = replica;
      }
      async forward(x: Tensor): Promise<Tensor[]> {
        if (this.replica === 1) {
          const [b, a] = await Promise.all([this.b.forward(x), this.a.forward(x)]);
          return [a, b];
        }
        return Promise.all([this.a.forward(x), this.b.forward(x)]);
      }
    }
    const [a, b] = await (await spread(new Parallel())).forward(batch());
    const [wholeA, wholeB] = [
      await new BatchNorm1d(2, one).forward(wholeBatch()),
      await new BatchNorm1d(2, { ...one, eps: 1 }).forward(wholeBatch()),
    ];
    expectSameBits((await a?.data()) ?? [], await wholeA.data());
    expectSameBits((await b?.data()) ?? [], await wholeB.data());
  });

  it('counts an output that no gradient reaches as zeros', async () => {
    const bn = new SynchronizedBatchNorm1d(2);
    const x = batch(true);
    const net = await spread(
      new Around(bn, async (layer, part, replica) => {
        const y = await layer.forward(part);
        return replica === 1 ? y.detach() : y;
      }),
    );
    const y = await net.forward(x);
    await y.backward(tensor(gradient, shape, { device: first }));
    const masked = gradient.map((value, i) => (i >= 16 && i < 32 ? 0 : value));
    const [plain, plainX] = [new BatchNorm1d(2, one), wholeBatch(true)];
    const z = await plain.forward(plainX);
    await z.backward(tensor(masked, shape, one));
    expectSameBits((await x.grad?.data()) ?? [], (await plainX.grad?.data()) ?? []);
    expectSameBits((await bn.bias?.grad?.data()) ?? [], (await plain.bias?.grad?.data()) ?? []);
  });

  it.each(['contiguous', 'channels_last'] as const)(
    'keeps the %s format, whatever that of dy',
    async (memoryFormat) => {
      const other = memoryFormat === 'contiguous' ? 'channels_last' : 'contiguous';
      const x = tensor(data, shape, { memoryFormat, requiresGrad: true });
      const y = await (await spread(new SynchronizedBatchNorm1d(2))).forward(x);
      await y.backward(tensor(gradient, shape, { device: first, memoryFormat: other }));
      const plainX = wholeBatch(true);
      const z = await new BatchNorm1d(2, one).forward(plainX);
      await z.backward(tensor(gradient, shape, one));
      expect([y.memoryFormat, x.grad?.memoryFormat]).toEqual([memoryFormat, memoryFormat]);
      expectSameBits(await y.data(), await z.data());
      expectSameBits((await x.grad?.data()) ?? [], (await plainX.grad?.data()) ?? []);
    },
  );

  it('refuses one value per channel in the whole batch only', async () => {
    const net = await spread(new SynchronizedBatchNorm2d(2));
    await expect(net.forward(tensor([1, 2], [1, 2, 1, 1]))).rejects.toThrow(
      'Expected more than 1 value per channel when training, got input size [1, 2, 1, 1]',
    );
    const y = await net.forward(tensor([1, 2, 3, 4, 5, 6], [3, 2, 1, 1]));
    const whole = await new BatchNorm2d(2, one).forward(tensor([1, 2, 3, 4, 5, 6], [3, 2, 1, 1], one));
    expectSameBits(await y.data(), await whole.data());
  });

  it('has no gradients but zeros for an empty batch, whose statistics change nothing', async () => {
    const bn = new SynchronizedBatchNorm1d(2);
    const net = await spread(
      new Around(bn, async (layer, part) => {
        return layer.forward(tensor([], [0, 2, 4], { device: part.device, requiresGrad: true }));
      }),
    );
    const y = await net.forward(tensor([0, 0, 0], [3]));
    expect(y.shape).toEqual([0, 2, 4]);
    await y.backward(tensor([], [0, 2, 4], { device: first }));
    expect([...((await bn.weight?.grad?.data()) ?? [])]).toEqual([0, 0]);
    expect([...((await bn.runningMean?.data()) ?? [])]).toEqual([0, 0]);
    expect(bn.numBatchesTracked).toBe(1);
  });

  it('is guarded by max(var, eps) in clamp mode, where it synchronizes and nowhere else', async () => {
    const eps = 0.5;
    // Channel 0 varies by less than eps, channel 1 by more.
    const x = data.map((value, i) => (Math.floor(i / 4) % 2 === 0 ? value / 10 : 3 * value));
    const bn = new SynchronizedBatchNorm1d(2, { eps, epsMode: 'clamp' });
    const y = await (await spread(bn)).forward(tensor(x, shape));
    const layer = {
      weight: null,
      bias: null,
      runningMean: null,
      runningVar: null,
      eps,
      momentum: 0.1,
      batchStatistics: true,
    };
    const clamped = referenceForward(x, shape, { ...layer, epsMode: 'clamp' });
    expectWithin(againstExact(kind), 'output', await y.data(), clamped.y, 'y');
    const alone = await bn.forward(tensor(x, shape, { device: first }));
    expectWithin(againstExact(kind), 'output', await alone.data(), referenceForward(x, shape, layer).y, 'y');
  });

  it('lets nothing flow back through a variance that eps has replaced', async () => {
    const eps = 0.5;
    const values = data.map((value, i) => (Math.floor(i / 4) % 2 === 0 ? value / 10 : 3 * value));
    const x = tensor(values, shape, { requiresGrad: true });
    const y = await (await spread(new SynchronizedBatchNorm1d(2, { eps, epsMode: 'clamp' }))).forward(x);
    await y.backward(tensor(gradient, shape, { device: first }));
    const dx = (await x.grad?.data()) ?? new Float32Array();
    // The exact gradient by central differences of Σ dy·y, whose y the reference computes in f64.
    const layer = { weight: null, bias: null, runningMean: null, runningVar: null, eps, momentum: 0.1 };
    const loss = (changed: Float64Array): number => {
      const { y: exact } = referenceForward(changed, shape, { ...layer, batchStatistics: true, epsMode: 'clamp' });
      return exact.reduce((sum, value, i) => sum + value * (gradient[i] ?? Number.NaN), 0);
    };
    const shifted = (i: number, by: number): Float64Array =>
      Float64Array.from(values, (value, j) => (i === j ? value + by : value));
    const expected = Float64Array.from(dx, (_, i) => (loss(shifted(i, 1e-5)) - loss(shifted(i, -1e-5))) / 2e-5);
    expectWithin(againstExact(kind), 'gradient', dx, expected, 'dx');
  });

  it('warns once per layer of a plain DataParallel, and only in training on more than one device', async () => {
    const warn = vi.spyOn(console, 'warn').mockReturnValue(undefined);
    const bn = new SynchronizedBatchNorm1d(2);
    const net = await placed(new DataParallel(bn, { deviceIds: names }));
    await net.eval().forward(batch());
    await net.train().forward(tensor(data.slice(0, 8), [1, 2, 4]));
    await bn.forward(await batch().to(first));
    expect(warn).not.toHaveBeenCalled();
    await net.forward(batch());
    await net.forward(batch());
    expect(warn).toHaveBeenCalledTimes(1);
    expect(String(warn.mock.calls[0]?.[0])).toMatch(
      /layer module was trained .* plain DataParallel; use DataParallelWithCallBack/,
    );
    patchReplicationCallback(net);
    const y = await net.forward(batch());
    expectSameBits(await y.data(), await (await new BatchNorm1d(2, one).forward(wholeBatch())).data());
    expect(warn).toHaveBeenCalledTimes(1);
  });

  it('frees everything after a step but the copies of parameters and buffers, and when the graph is dropped', async () => {
    const net = await spread(new SynchronizedBatchNorm1d(2));
    await collectGarbage();
    const before = buffersOn(names);
    const copies = names.map((name) => (name === first ? 0 : 4));
    for (const runsBackward of [true, false]) {
      const x = batch(true);
      const y = await net.forward(x);
      if (runsBackward) await y.backward(tensor(gradient, shape, { device: first }).donate());
      [x, y].forEach((item) => item.dispose());
      net.zeroGrad();
      expect(buffersOn(names).map((count, r) => count - (before[r] ?? 0))).toEqual(copies);
    }
  });

  it('writes y over a donated x that no backward pass needs', async () => {
    const net = await spread(new Around(new SynchronizedBatchNorm1d(2), (layer, x) => layer.forward(x.donate())));
    const y = await noGrad(() => net.forward(batch()));
    expectSameBits(await y.data(), await (await new BatchNorm1d(2, one).forward(wholeBatch())).data());
    expect(y.device).toBe(first);
  });
});
