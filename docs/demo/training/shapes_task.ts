/** Learns what each pixel of a picture from above shows. How bright it is tells, compared with other pictures. */

import { BatchNorm2d, noGrad, scope, Sequential, tensor } from 'syncbn';
import { Conv2d } from '../../../examples/digits/layers/conv2d.ts';
import { ReLU } from '../../../examples/digits/layers/relu.ts';
import type { Random } from '../../../examples/digits/random.ts';
import { randomStream } from '../../../examples/digits/random.ts';
import type { Classifier } from '../../../examples/digits/runs.ts';
import { Overlap } from '../../../examples/segmentation/overlap.ts';
import { CLASS_NAMES, CLASSES, drawShapes, type Shapes, SIZE } from '../../../examples/segmentation/shapes.ts';
import type { Picture } from '../protocol.ts';
import { Observed, type Watch } from './observed.ts';
import { PixelRows } from './pixel_rows.ts';
import type { Batch, Examined, Task } from './task.ts';

const CHANNELS = 8;
const COLOURS = 3;
const PIXELS = SIZE * SIZE;
const TEST_IMAGES = 32;
/** Test images that are shown. */
const SHOWN = 4;
/** Of the test images, the same in every run. */
const TEST_SEED = 1000;

export function shapesTask(): Task {
  const test = drawShapes(TEST_IMAGES, randomStream(TEST_SEED, 0));
  const guessed = ({ guesses }: Examined): Picture[] => shown((i) => mask(guesses, i, rightOf(guesses, test, i)));
  return {
    name: 'shapes',
    lr: 0.01,
    network: (random, watch) => shapesNet(random, watch),
    batches: shapeBatches,
    examine: (network, device) => examine(network, device, test),
    pictures: (plain, synchronized) => [
      { title: 'Picture', pictures: shown((i) => photograph(test, i)) },
      { title: 'Truth', pictures: shown((i) => mask(test.masks, i, classesOf(test, i))) },
      ...(plain === null ? [] : [{ title: 'Plain', pictures: guessed(plain) }]),
      { title: 'Synchronized', pictures: guessed(synchronized) },
    ],
  };
}

/** Two convolutions that see their neighbours, and one that classifies each pixel. */
function shapesNet(random: Random, watch: Watch): Sequential {
  return new Sequential(
    new Conv2d(COLOURS, CHANNELS, 3, random),
    new Observed(new BatchNorm2d(CHANNELS), 0, watch),
    new ReLU(),
    new Conv2d(CHANNELS, CHANNELS, 3, random),
    new Observed(new BatchNorm2d(CHANNELS), 1, watch),
    new ReLU(),
    new Conv2d(CHANNELS, CLASSES, 1, random),
    new PixelRows(),
  );
}

function* shapeBatches(size: number, random: Random): Generator<Batch, never> {
  for (;;) yield batchOf(drawShapes(size, random));
}

function batchOf({ images, masks }: Shapes): Batch {
  const samples = masks.length / PIXELS;
  const planes = new Float32Array(images.length);
  // Colours come pixel by pixel; the network takes them plane by plane.
  for (let n = 0; n < samples; n++) {
    for (let pixel = 0; pixel < PIXELS; pixel++) {
      for (let colour = 0; colour < COLOURS; colour++) {
        planes[(n * COLOURS + colour) * PIXELS + pixel] = images[(n * PIXELS + pixel) * COLOURS + colour] ?? 0;
      }
    }
  }
  return { images: planes, shape: [samples, COLOURS, SIZE, SIZE], labels: masks };
}

async function examine(network: Classifier, device: string, test: Shapes): Promise<Examined> {
  const { images, shape } = batchOf(test);
  network.eval();
  try {
    const logits = await scope(() =>
      noGrad(async () => (await network.forward(tensor(images, shape, { device }))).data()),
    );
    const guesses = Uint8Array.from({ length: logits.length / CLASSES }, (_, row) => largest(logits, row));
    const overlap = new Overlap();
    overlap.add(guesses, test.masks);
    return { score: overlap.mean, guesses };
  } finally {
    network.train();
  }
}

/** The class with the highest score in a row. */
function largest(logits: Float32Array, row: number): number {
  const scores = logits.subarray(row * CLASSES, (row + 1) * CLASSES);
  return scores.indexOf(Math.max(...scores));
}

function shown(draw: (image: number) => Picture): Picture[] {
  return Array.from({ length: SHOWN }, (_, i) => draw(i));
}

function photograph({ images }: Shapes, image: number): Picture {
  const pixels = Float32Array.from({ length: PIXELS }, (_, pixel) => images[(image * PIXELS + pixel) * COLOURS] ?? 0);
  return { kind: 'photograph', size: SIZE, pixels, caption: `picture ${image + 1}` };
}

function mask(masks: Uint8Array, image: number, caption: string): Picture {
  return { kind: 'mask', size: SIZE, pixels: masks.slice(image * PIXELS, (image + 1) * PIXELS), caption };
}

/** `forest, sand`: what a picture shows. */
function classesOf({ masks }: Shapes, image: number): string {
  const there = new Set(masks.subarray(image * PIXELS, (image + 1) * PIXELS));
  return CLASS_NAMES.filter((_, class_) => there.has(class_)).join(', ');
}

/** `62 % of its pixels right`: how well a mask meets the truth. */
function rightOf(guesses: Uint8Array, { masks }: Shapes, image: number): string {
  const places = Array.from({ length: PIXELS }, (_, pixel) => image * PIXELS + pixel);
  const right = places.filter((place) => guesses[place] === masks[place]).length;
  return `${Math.round((100 * right) / PIXELS)} % of its pixels right`;
}
