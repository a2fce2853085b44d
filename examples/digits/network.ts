/** The network that every run trains. */

import { BatchNorm1d, BatchNorm2d, Sequential } from 'syncbn';
import { CLASSES, IMAGE_SIZE } from './samples.ts';
import { Conv2d } from './layers/conv2d.ts';
import { Flatten } from './layers/flatten.ts';
import { Linear } from './layers/linear.ts';
import { MaxPool2d } from './layers/max_pool2d.ts';
import { ReLU } from './layers/relu.ts';
import type { Random } from './random.ts';

/** Channels after the first and after the second convolution. */
const CHANNELS = [8, 16] as const;

/** Width of the hidden linear layer. */
const FEATURES = 32;

/** The pooling layers halve the side twice. */
const POOLED_SIZE = IMAGE_SIZE / 4;

/**
 * Two blocks of convolution, batch norm, ReLU and pooling, then a linear classifier: images (N, 1, 28, 28) to logits (N, 10).
 *
 * Written with plain batch norm. Who wants it synchronized calls `convertModel` on it.
 */
export function digitNet(random: Random): Sequential {
  const [first, second] = CHANNELS;
  return new Sequential(
    new Conv2d(1, first, 3, random),
    new BatchNorm2d(first),
    new ReLU(),
    new MaxPool2d(),
    new Conv2d(first, second, 3, random),
    new BatchNorm2d(second),
    new ReLU(),
    new MaxPool2d(),
    new Flatten(),
    new Linear(second * POOLED_SIZE ** 2, FEATURES, random),
    new BatchNorm1d(FEATURES),
    new ReLU(),
    new Linear(FEATURES, CLASSES, random),
  );
}
