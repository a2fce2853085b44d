/** What would move or change a module while a forward pass of it is under way: refused, or in order. */

import {
  BatchNorm1d,
  convertModel,
  DataParallelWithCallBack,
  devices,
  ForwardInProgressError,
  init,
  Sequential,
  SynchronizedBatchNorm1d,
  tensor,
  type Module,
  type Tensor,
} from 'syncbn';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds } from '../support/device_kinds.ts';
import { collectGarbage } from '../support/event_loop.ts';
import { randomArray } from '../support/random.ts';
import { Around, placed, stateOf } from './modules.ts';

const data = randomArray(1, 24);
const batch = (): Tensor => tensor(data, [12, 2]);

/** A pass whose replicas wait until they are let go. */
async function waitingNet(names: readonly string[]): Promise<{
  net: DataParallelWithCallBack<Around<SynchronizedBatchNorm1d>>;
  go: () => void;
}> {
  let go = (): void => undefined;
  const started = new Promise<void>((resolve) => {
    go = resolve;
  });
  const around = new Around(new SynchronizedBatchNorm1d(2), async (layer, x) => {
    await started;
    return layer.forward(x);
  });
  return { net: await placed(new DataParallelWithCallBack(around, { deviceIds: names })), go: () => go() };
}

describe('while a pass is under way', () => {
  const changes: readonly (readonly [string, (module: Module) => unknown])[] = [
    ['to()', (module) => module.to('cpu:2')],
    ['loadStateDict()', (module) => module.loadStateDict(module.stateDict())],
    ['convertModel()', (module) => convertModel(module)],
    ['convertModel.revert()', (module) => convertModel.revert(module)],
    [
      'resetRunningStats()',
      (module) => [...module.modules()].forEach((m) => m instanceof BatchNorm1d && m.resetRunningStats()),
    ],
    [
      'resetParameters()',
      (module) => [...module.modules()].forEach((m) => m instanceof BatchNorm1d && m.resetParameters()),
    ],
  ];

  it.each(changes.flatMap((change) => [1, 2].map((count) => [count, ...change] as const)))(
    'on_%d_devices_%s_is_refused_and_changes_nothing: %s',
    async (count, operation, change) => {
      const { net, go } = await waitingNet(['cpu:0', 'cpu:1'].slice(0, count));
      const plain = new BatchNorm1d(2);
      const pass = net.forward(batch());
      for (const module of [net, net.module, net.module.layer, new Sequential(net)]) {
        const error: unknown = await Promise.resolve()
          .then(() => change(module))
          .catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(ForwardInProgressError);
        expect(error).toMatchObject({ operation });
      }
      go();
      expectSameBits(await (await pass).data(), await (await plain.forward(batch())).data());
      expect(await stateOf(net.module.layer)).toEqual(await stateOf(plain));
      // Nothing is left that refuses.
      await change(net);
    },
  );

  it('a_failed_pass_leaves_nothing_that_refuses', async () => {
    const failing = new Around(new SynchronizedBatchNorm1d(2), () => Promise.reject(new Error('failed')));
    const net = new DataParallelWithCallBack(failing, { deviceIds: ['cpu:0', 'cpu:1'] });
    await expect(net.forward(batch())).rejects.toThrow('failed');
    await net.to('cpu:2');
  });

  it('what_began_before_it_is_refused_when_it_would_take_effect', async () => {
    const { net, go } = await waitingNet(['cpu:0', 'cpu:1']);
    const moves = [
      net.to('cpu:3'),
      net.loadStateDict(new Around(new BatchNorm1d(2), (layer, x) => layer.forward(x)).stateDict()),
    ];
    const outcomes = Promise.allSettled(moves);
    const pass = net.forward(batch());
    expect((await outcomes).map((outcome) => outcome.status)).toEqual(['rejected', 'rejected']);
    go();
    await pass;
    expect(net.module.layer).toMatchObject({ numBatchesTracked: 1, runningMean: { device: 'cpu:0' } });
  });

  it('eval_and_train_hold_from_the_next_pass_on', async () => {
    const { net, go } = await waitingNet(['cpu:0', 'cpu:1']);
    const pass = net.forward(batch());
    // Replicas are made before the first of them runs.
    await Promise.resolve();
    go();
    await pass;
    net.eval();
    await net.forward(batch());
    expect(net.module.layer.numBatchesTracked).toBe(1);
  });
});

describe.each(deviceKinds)('moving a layer of the calling thread to %s', (kind) => {
  const target = `${kind}:1`;
  beforeAll(() => init(['cpu:0', target]));

  it('takes_along_what_a_forward_changes_meanwhile', async () => {
    await collectGarbage();
    const before = devices.get(target).memoryUsage().buffers;
    const [bn, plain] = [new BatchNorm1d(2), new BatchNorm1d(2)];
    const moving = bn.to(target);
    await bn.forward(batch());
    await moving;
    await plain.forward(batch());
    expect(bn.runningMean?.device).toBe(target);
    expect(await stateOf(bn)).toEqual(await stateOf(plain));
    [...bn.parameters(), ...bn.buffers()].forEach((item) => item.dispose());
    expect(devices.get(target).memoryUsage().buffers).toBe(before);
  });

  it('and_loading_it_meanwhile_end_on_the_new_device', async () => {
    const [bn, source] = [new BatchNorm1d(2), new BatchNorm1d(2)];
    await source.forward(batch());
    await Promise.all([bn.to(target), bn.loadStateDict(source.stateDict())]);
    expect(new Set([...bn.parameters(), ...bn.buffers()].map(({ device }) => device))).toEqual(new Set([target]));
    expect(await stateOf(bn)).toEqual(await stateOf(source));
  });
});

describe.each(deviceKinds)('what is written into a layer on %s while its forward is under way', (kind) => {
  const device = `${kind}:1`;
  beforeAll(() => init([device]));

  it.each<[string, (bn: BatchNorm1d) => unknown]>([
    ['resetRunningStats()', (bn) => bn.resetRunningStats()],
    ['copy_()', (bn) => bn.runningMean?.copy_(Float32Array.of(7, 7))],
    ['loadStateDict()', (bn) => bn.loadStateDict(new BatchNorm1d(2).stateDict())],
    ['another counter', (bn) => (bn.numBatchesTracked = 30)],
    ['another buffer', (bn) => (bn.runningMean = tensor([5, 5], [2], { device }))],
  ])('stays_as_if_it_were_written_afterwards: %s', async (_, write) => {
    const stateAfter = async (isAwaited: boolean): Promise<unknown[]> => {
      const bn = new BatchNorm1d(2, { device });
      await bn.runningMean?.copy_(Float32Array.of(100, 100));
      const y = bn.forward(tensor(data, [12, 2], { device }));
      await (isAwaited ? y : undefined);
      await write(bn);
      await y;
      return [bn.numBatchesTracked, await bn.runningMean?.data(), await bn.runningVar?.data()];
    };
    expect(await stateAfter(false)).toEqual(await stateAfter(true));
  });
});
