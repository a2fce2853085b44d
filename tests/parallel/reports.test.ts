/** What replicas report to their originals. */

import {
  BatchNorm1d,
  DataParallel,
  DataParallelWithCallBack,
  Module,
  reportToOriginal,
  tensor,
  type Tensor,
} from 'syncbn';
import { describe, expect, it } from 'vitest';
import { settled } from '../support/event_loop.ts';

/** Reports the samples of each replica, twice, and may fail in one of them. */
class Counting extends Module {
  readonly bn = new BatchNorm1d(1);
  readonly inner = new Inner();
  readonly received: unknown[] = [];
  failsAt = -1;
  refuses = false;

  async forward(x: Tensor, replica = 0): Promise<Tensor> {
    const [first] = await x.data();
    reportToOriginal(this, { first, samples: x.shape[0] });
    // The later replica is the faster one.
    if (first === 1) await settled();
    if (first === this.failsAt) throw new Error('this replica fails');
    reportToOriginal(this, replica);
    return this.bn.forward(await this.inner.forward(x));
  }

  override onReport(value: unknown, replicaIndex: number): void {
    if (this.refuses) throw new Error('no reports today');
    this.received.push([replicaIndex, value]);
  }
}

class Inner extends Module {
  readonly received: unknown[] = [];

  forward(x: Tensor): Promise<Tensor> {
    reportToOriginal(this, 'inner');
    return Promise.resolve(x);
  }

  override onReport(value: unknown, replicaIndex: number): void {
    this.received.push([replicaIndex, value]);
  }
}

const batch = (): Tensor => tensor([1, 2, 3, 4, 5], [5, 1]);
const deviceIds = ['cpu:0', 'cpu:1'];

describe('a report', () => {
  it.each([DataParallel, DataParallelWithCallBack])(
    'of each replica reaches the original, in order, under %o',
    async (Wrapper) => {
      const module = new Counting();
      await new Wrapper(module, { deviceIds }).forward(batch(), 7);
      expect(module.received).toEqual([
        [0, { first: 1, samples: 3 }],
        [0, 7],
        [1, { first: 4, samples: 2 }],
        [1, 7],
      ]);
      expect(module.inner.received).toEqual([
        [0, 'inner'],
        [1, 'inner'],
      ]);
    },
  );

  it('is not handed over by a pass that fails', async () => {
    const module = new Counting();
    const net = new DataParallel(module, { deviceIds });
    module.failsAt = 4;
    await expect(net.forward(batch())).rejects.toThrow('this replica fails');
    expect([module.received, module.inner.received, module.bn.numBatchesTracked]).toEqual([[], [], 0]);
    module.failsAt = -1;
    await net.forward(batch());
    expect(module.received).toHaveLength(4);
  });

  it('that is refused fails the pass, and the state stays as it was', async () => {
    const module = new Counting();
    const net = new DataParallel(module, { deviceIds });
    module.refuses = true;
    await expect(net.forward(batch())).rejects.toThrow('no reports today');
    expect(module.bn.numBatchesTracked).toBe(0);
  });

  it.each(['alone', 'on one device'])('of a module %s arrives at once', async (place) => {
    const module = new Counting();
    const net = place === 'alone' ? module : new DataParallel(module, { deviceIds: ['cpu:0'] });
    await net.forward(batch(), 5);
    expect(module.received).toEqual([
      [0, { first: 1, samples: 5 }],
      [0, 5],
    ]);
  });
});
