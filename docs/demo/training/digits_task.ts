/** Learns to tell handwritten digits. */

import { BatchNorm1d, BatchNorm2d, Sequential } from 'syncbn';
import { evaluate, guessOf } from '../../../examples/digits/evaluate.ts';
import { digitNet } from '../../../examples/digits/network.ts';
import { permutation, type Random, randomStream } from '../../../examples/digits/random.ts';
import { batches, IMAGE_SIZE, type Samples, select, standardised } from '../../../examples/digits/samples.ts';
import { wrongGuesses } from './wrong_guesses.ts';
import { Observed, type Watch } from './observed.ts';
import type { Batch, Task } from './task.ts';

/** Images and labels as they come: shades from 0 (paper) to 255 (ink), 28 × 28 for each label. */
export interface DigitsData {
  readonly shades: Uint8Array;
  readonly labels: Uint8Array;
}

const TEST_IMAGES = 200;
/** Which images are kept for testing is the same in every run. */
const SPLIT_SEED = 1;

export function digitsTask({ shades, labels }: DigitsData): Task {
  const values = Float32Array.from({ length: 256 }, (_, shade) => standardised(shade / 255));
  const images = new Float32Array(shades.length);
  for (let i = 0; i < images.length; i++) images[i] = values[shades[i] ?? 0] ?? 0;
  const all: Samples = { images, labels };
  const order = permutation(randomStream(SPLIT_SEED, 0), labels.length);
  const train = select(all, order.subarray(TEST_IMAGES));
  const test = select(all, order.subarray(0, TEST_IMAGES));
  return {
    name: 'digits',
    lr: 0.01,
    network: (random, watch) => observedDigitNet(random, watch),
    batches: (size, random) => digitBatches(train, size, random),
    examine: async (network, device) => {
      const { accuracy, logits } = await evaluate(network, test, device);
      return { score: accuracy, guesses: Uint8Array.from(test.labels, (_, n) => guessOf(logits, n)) };
    },
    pictures: (plain, synchronized) => [
      ...(plain === null ? [] : [wrongGuesses('Plain', test, plain.guesses)]),
      wrongGuesses('Synchronized', test, synchronized.guesses),
    ],
  };
}

/** The network of the example, whose batch norms are looked at. */
function observedDigitNet(random: Random, watch: Watch): Sequential {
  let norms = 0;
  const layers = Array.from(digitNet(random).children(), (layer) =>
    layer instanceof BatchNorm1d || layer instanceof BatchNorm2d ? new Observed(layer, norms++, watch) : layer,
  );
  return new Sequential(...layers);
}

function* digitBatches(samples: Samples, size: number, random: Random): Generator<Batch, never> {
  const source = batches(samples, size, random);
  for (;;) {
    const { images, labels } = source.next().value;
    yield { images, labels, shape: [labels.length, 1, IMAGE_SIZE, IMAGE_SIZE] };
  }
}
