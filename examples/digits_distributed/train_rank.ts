/** One rank's part in the training of the digits network. */

import { convertModel, tensor } from 'syncbn';
import { DistributedDataParallel, type ProcessGroup } from 'syncbn/distributed';
import type { Dataset } from '../digits/dataset.ts';
import { batches, IMAGE_SIZE, slice } from '../digits/samples.ts';
import { crossEntropy } from '../digits/layers/cross_entropy.ts';
import { digitNet } from '../digits/network.ts';
import { randomStream } from '../digits/random.ts';
import { Sgd } from '../digits/sgd.ts';
import { STREAMS } from '../digits/train.ts';

export interface RankOptions {
  /** Samples per step, of all ranks together; ranks may have one more than others. */
  readonly batch: number;
  readonly steps: number;
  readonly seed: number;
}

/** After a step. */
export interface StepResult {
  /** Of the whole batch. */
  readonly loss: number;
  /** All parameters, one after another. */
  readonly weights: () => Promise<Float32Array>;
}

/**
 * Trains on this rank's shards of the batches that one process would take. The loss is the sum over the shard divided by the size of the
 * whole batch, and gradients are added up over ranks: so every rank has the parameters of one process, to the bit.
 */
export async function trainRank(
  group: ProcessGroup,
  dataset: Pick<Dataset, 'train'>,
  { batch, steps, seed }: RankOptions,
  onStep: (step: number, result: StepResult) => void | Promise<void>,
): Promise<void> {
  // Each rank begins with other weights; those of rank 0 count.
  const weights = randomStream(seed + group.rank, STREAMS.weights);
  const net = convertModel(digitNet(weights), { processGroup: group });
  const model = new DistributedDataParallel(net, { processGroup: group, reduction: 'sum' });
  await model.ready();
  const optimizer = new Sgd(net.parameters(), { lr: 0.01, momentum: 0.9 });
  const source = batches(dataset.train, batch, randomStream(seed, STREAMS.batches));
  const first = Math.floor((batch * group.rank) / group.size);
  const count = Math.floor((batch * (group.rank + 1)) / group.size) - first;
  for (let step = 1; step <= steps; step++) {
    const { images, labels } = slice(source.next().value, first, count);
    const x = tensor(images, [count, 1, IMAGE_SIZE, IMAGE_SIZE]);
    const logits = await model.forward(x);
    const loss = await crossEntropy(logits, labels, batch);
    await loss.backward();
    await optimizer.step();
    const [whole = NaN] = await group.allReduce(Float32Array.of(await loss.item()), { tag: 'loss' });
    [x, logits, loss].forEach((each) => each.dispose());
    await onStep(step, {
      loss: whole,
      weights: async () => {
        const arrays = await Promise.all(Array.from(net.parameters(), (parameter) => parameter.data()));
        return Float32Array.from(arrays.flatMap((array) => [...array]));
      },
    });
  }
}
