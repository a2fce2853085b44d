/** The program of the threads that `spawn.test.ts` starts: what a rank does is told by its arguments. */

import { BatchNorm1d, convertModel, Sequential, tensor } from 'syncbn';
import { type RankContext, spawnable } from 'syncbn/distributed';

export interface Task {
  readonly kind: 'sum' | 'layer' | 'throw' | 'end' | 'mismatch' | 'uncloneable' | 'leave' | 'busy' | 'exchange';
  /** The rank that does it; the others wait for it. */
  readonly rank?: number;
  /** Values of the whole batch, and how many samples each rank has. */
  readonly values?: Float32Array;
  readonly samples?: readonly number[];
}

spawnable(run);

/** Ends the thread in the middle of things. */
function end(): void {
  const scope = globalThis as unknown as { readonly process?: { exit(code: number): void }; close?(): void };
  scope.process?.exit(3);
  scope.close?.();
}

async function run({ rank, size, group, args: task }: RankContext<Task>): Promise<unknown> {
  const isMeant = rank === task.rank;
  switch (task.kind) {
    case 'sum':
      return [rank, size, ...(await group.allReduce(Float32Array.of(rank + 1)))];
    case 'layer':
      return layer();
    case 'throw':
      if (isMeant) throw new RangeError('no more data');
      return group.barrier();
    case 'end':
      if (!isMeant) return group.barrier();
      end();
      return new Promise(() => undefined);
    case 'mismatch':
      return isMeant ? group.allReduce(new Float32Array(2)) : group.allReduce(new Float32Array(3));
    case 'uncloneable':
      return isMeant ? () => 1 : 1;
    case 'leave':
      return isMeant ? rank : group.barrier();
    case 'busy': {
      // Computes for longer than anybody waits before asking.
      for (const end = performance.now() + 900; isMeant && performance.now() < end;);
      return [...(await group.allReduce(Float32Array.of(1)))];
    }
    case 'exchange': {
      const start = performance.now();
      for (let i = 0; i < 1000; i++) await group.allGather(new Uint8Array(4096), 'x');
      return (performance.now() - start) / 1000;
    }
  }

  /** One step of a layer whose batch is spread over the ranks. */
  async function layer(): Promise<unknown> {
    const { values = new Float32Array(), samples = [] } = task;
    const first = samples.slice(0, rank).reduce((sum, count) => sum + count, 0);
    const count = samples[rank] ?? 0;
    const net = convertModel(new Sequential(new BatchNorm1d(3)), { processGroup: group });
    const shard = values.slice(first * 12, (first + count) * 12);
    const x = tensor(shard, [count, 3, 4], { requiresGrad: true });
    const y = await net.forward(x);
    await y.backward(
      tensor(
        shard.map((value) => value * value),
        [count, 3, 4],
      ),
    );
    const state = await Promise.all(
      Object.values(net.stateDict()).map((each) => (typeof each === 'number' ? Promise.resolve(each) : each.data())),
    );
    return { y: await y.data(), dx: await x.grad?.data(), state };
  }
}
