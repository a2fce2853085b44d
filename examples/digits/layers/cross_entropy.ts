/** The loss of a classifier. */

import { defineFunction, tensor, type Tensor } from 'syncbn';
import { savedTensor } from './saved.ts';
import { matrixSizes } from './sizes.ts';

/**
 * The mean over the batch of `−log softmax(logits)[label]`. Shapes: logits (N, K), the result a single element. Of a shard of a batch it is the
 * shard's part of the mean: the sum over the shard divided by the samples of the whole batch, which is the last argument.
 * @throws RangeError unless there is one label for each row.
 */
export function crossEntropy(logits: Tensor, labels: Uint8Array, samples = labels.length): Promise<Tensor> {
  return partOfMean(logits, labels, samples);
}

const partOfMean = defineFunction({
  name: 'crossEntropy',
  forward: async (context, logits: Tensor, labels: Uint8Array, samples: number) => {
    const [rows, classes] = matrixSizes('crossEntropy', logits);
    if (labels.length !== rows) {
      throw new RangeError(`crossEntropy: expected ${rows} labels, one per row, got ${labels.length}`);
    }
    const { device } = logits;
    const scores = await logits.data();
    // d loss / d logits = (softmax − one hot) / N: computed here, since the loss needs the same exponentials.
    const gradient = new Float32Array(scores.length);
    let loss = 0;
    labels.forEach((label, n) => {
      const row = scores.subarray(n * classes, (n + 1) * classes);
      const largest = row.reduce((a, b) => Math.max(a, b));
      const exponentials = Array.from(row, (score) => Math.exp(score - largest));
      const total = exponentials.reduce((a, b) => a + b);
      loss += Math.log(total) - ((row[label] ?? NaN) - largest);
      exponentials.forEach((exponential, k) => {
        gradient[n * classes + k] = (exponential / total - (k === label ? 1 : 0)) / samples;
      });
    });
    const kept = tensor(gradient, logits.shape, { device });
    context.saveForBackward(kept);
    kept.dispose();
    return tensor([loss / samples], [1], { device });
  },
  backward: async (context, dloss) => {
    const saved = savedTensor(context);
    const [gradient, factor] = await Promise.all([saved.data(), dloss.item()]);
    return [
      tensor(
        gradient.map((value) => value * factor),
        saved.shape,
        { device: dloss.device },
      ),
      null,
      null,
    ];
  },
});
