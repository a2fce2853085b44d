/** What a network learns: the images, the network, and how well it has learned. */

import type { Sequential } from 'syncbn';
import type { Random } from '../../../examples/digits/random.ts';
import type { Classifier } from '../../../examples/digits/runs.ts';
import type { PictureRow, TaskName } from '../protocol.ts';
import type { Watch } from './observed.ts';

/** Images of one training step. */
export interface Batch {
  /** (N, C, H, W). */
  readonly images: Float32Array;
  readonly shape: readonly [number, number, number, number];
  /** One class for each row of the logits. */
  readonly labels: Uint8Array;
}

/** What a network makes of the test images. */
export interface Examined {
  /** From 0 to 1. */
  readonly score: number;
  /** The class of each row of the logits. */
  readonly guesses: Uint8Array;
}

export interface Task {
  readonly name: TaskName;
  /** Learning rate. */
  readonly lr: number;
  /** Images (N, C, H, W) to logits with one row for each label. Its batch norms stand in {@link Observed} modules. */
  network(random: Random, watch: Watch): Sequential;
  /** Batches without end. */
  batches(size: number, random: Random): Generator<Batch, never>;
  /** By running statistics, on one device. */
  examine(network: Classifier, device: string): Promise<Examined>;
  /** Test images that tell apart what has learned well from what has not. */
  pictures(plain: Examined | null, synchronized: Examined): PictureRow[];
}
