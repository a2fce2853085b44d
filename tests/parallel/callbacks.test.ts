import {
  BatchNorm1d,
  DataParallel,
  DataParallelWithCallBack,
  init,
  Module,
  patchReplicationCallback,
  ReplicaError,
  Sequential,
  SynchronizedBatchNorm1d,
  tensor,
  type Tensor,
} from 'syncbn';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds, deviceNames, oneDeviceOf } from '../support/device_kinds.ts';
import { randomArray } from '../support/random.ts';
import { placed, stateOf } from './modules.ts';

interface Announcement {
  readonly name: string;
  readonly context: object;
  readonly replica: number;
}

/** Notes what it is told, and by then everything below it has been copied. */
class Listener extends Module {
  readonly name: string;
  readonly heard: Announcement[];

  constructor(name: string, heard: Announcement[]) {
    super();
    this.name = name;
    this.heard = heard;
  }

  override onReplicate(context: object, replica: number): void {
    this.heard.push({ name: this.name, context, replica });
  }

  async forward(x: Tensor): Promise<Tensor> {
    return Promise.resolve(x.detach());
  }
}

describe.each(deviceKinds)('onReplicate on %s', (kind) => {
  const names = deviceNames(kind, 3);
  const batch = (): Tensor => tensor([1, 2, 3], [3, 1]);

  beforeAll(() => init(names));

  function listeners(heard: Announcement[]): Sequential {
    return new Sequential(new Listener('a', heard), new Listener('b', heard));
  }

  const wrappers: [string, (module: Sequential) => DataParallel<Sequential>][] = [
    ['DataParallelWithCallBack', (module) => new DataParallelWithCallBack(module, { deviceIds: names })],
    ['a patched DataParallel', (module) => patchReplicationCallback(new DataParallel(module, { deviceIds: names }))],
  ];

  it.each(wrappers)('is called by %s, replica by replica, with one context per module', async (_, wrap) => {
    const heard: Announcement[] = [];
    await wrap(listeners(heard)).forward(batch());
    expect(heard.map(({ name, replica }) => `${name}${replica}`)).toEqual(['a0', 'b0', 'a1', 'b1', 'a2', 'b2']);
    expect(new Set(heard.map(({ context }) => context)).size).toBe(2);
    for (const { name, context } of heard) {
      expect(context).toBe(heard.find((other) => other.name === name)?.context);
    }
  });

  it('gets a new context in every forward', async () => {
    const heard: Announcement[] = [];
    const net = await placed(new DataParallelWithCallBack(listeners(heard), { deviceIds: names }));
    await net.forward(batch());
    await net.forward(batch());
    expect(new Set(heard.map(({ context }) => context)).size).toBe(4);
  });

  it('is not called by a plain DataParallel', async () => {
    const heard: Announcement[] = [];
    await (await placed(new DataParallel(listeners(heard), { deviceIds: names }))).forward(batch());
    expect(heard).toEqual([]);
  });

  it('is called before the first forward', async () => {
    class Late extends Module {
      private replica = -1;
      override onReplicate(_context: object, replica: number): void {
        this.replica = replica;
      }
      async forward(x: Tensor): Promise<Tensor> {
        return Promise.resolve(tensor([this.replica], [1, 1], { device: x.device }));
      }
    }
    const y = await (await placed(new DataParallelWithCallBack(new Late(), { deviceIds: names }))).forward(batch());
    expect([...(await y.data())]).toEqual([0, 1, 2]);
  });

  it('may share results between replicas through the context', async () => {
    class Counting extends Module {
      private shared: { count?: number } = {};
      override onReplicate(context: object): void {
        this.shared = context;
        this.shared.count = (this.shared.count ?? 0) + 1;
      }
      async forward(x: Tensor): Promise<Tensor> {
        return Promise.resolve(tensor([this.shared.count ?? 0], [1, 1], { device: x.device }));
      }
    }
    const y = await (await placed(new DataParallelWithCallBack(new Counting(), { deviceIds: names }))).forward(batch());
    expect([...(await y.data())]).toEqual([3, 3, 3]);
  });

  it.each([
    [
      'throws',
      () => {
        throw new RangeError('not ready');
      },
    ],
    ['rejects', () => Promise.reject(new RangeError('not ready'))],
  ])('that %s fails the forward before anything runs', async (_, fail) => {
    const bn = new SynchronizedBatchNorm1d(1);
    class Failing extends Listener {
      override onReplicate(_context: object, replica: number): void {
        if (replica === 1) return fail() as unknown as undefined;
      }
    }
    const net = await placed(
      new DataParallelWithCallBack(new Sequential(bn, new Failing('x', [])), { deviceIds: names }),
    );
    const before = await stateOf(net);
    const error: unknown = await net.forward(batch()).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ReplicaError);
    expect(error).toMatchObject({ replica: 1, device: names[1], cause: { message: 'not ready' } });
    expect(await stateOf(net)).toEqual(before);
  });

  it('of a user does not keep a synchronized layer from synchronizing', async () => {
    class Own extends SynchronizedBatchNorm1d {
      readonly told: number[] = [];
      override onReplicate(_context: object, replica: number): void {
        this.told.push(replica);
      }
    }
    const layer = new Own(2);
    const data = randomArray(5, 12);
    const y = await (
      await placed(new DataParallelWithCallBack(layer, { deviceIds: names }))
    ).forward(tensor(data, [6, 2]));
    const device = oneDeviceOf(kind);
    const whole = await new BatchNorm1d(2, { device }).forward(tensor(data, [6, 2], { device }));
    expectSameBits(await y.data(), await whole.data());
    expect(layer.told).toEqual([0, 1, 2]);
  });
});
