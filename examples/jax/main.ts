/**
 * A network of jax-js with batch norm of this library in it, trained on handwritten digits: on one device, and with 2 samples on each of 4.
 * `npm run example:jax`; `-- --steps N` for more or fewer than 300 steps.
 */

import { parseArgs } from 'node:util';
import { defaultDevice, init, nn, numpy as np } from '@jax-js/jax';
import { BatchNorm1d, convertModel, DataParallel, Module, noGrad, Parameter, scope, tensor, type Tensor } from 'syncbn';
import { loadDataset } from '../digits/dataset.ts';
import { batches, CLASSES, IMAGE_SIZE, type Samples } from '../digits/samples.ts';
import { randomStream, uniform } from '../digits/random.ts';
import { Sgd } from '../digits/sgd.ts';
import { jaxFunction } from './jax_function.ts';

const PIXELS = IMAGE_SIZE ** 2;
const HIDDEN = 64;
const BATCH = 8;

// Functions of jax-js consume what they are given; `.ref` is one more reference, no copy.
const linear = jaxFunction((x: np.Array, weight: np.Array, bias: np.Array) => np.dot(x, weight).add(bias));
const relu = jaxFunction((x: np.Array) => nn.relu(x));
const crossEntropy = jaxFunction((logits: np.Array, labels: np.Array) =>
  np.mean(np.sum(nn.logSoftmax(logits).mul(labels), 1)).mul(-1),
);

class Linear extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;

  constructor(inputs: number, outputs: number, seed: number) {
    super();
    const values = (count: number): Float32Array => uniform(randomStream(seed, count), count, 1 / Math.sqrt(inputs));
    this.weight = new Parameter(tensor(values(inputs * outputs), [inputs, outputs]));
    this.bias = new Parameter(tensor(values(outputs), [outputs]));
  }

  forward(x: Tensor): Promise<Tensor> {
    return linear(x, this.weight, this.bias);
  }
}

class DigitNet extends Module {
  readonly hidden = new Linear(PIXELS, HIDDEN, 1);
  readonly norm = new BatchNorm1d(HIDDEN);
  readonly output = new Linear(HIDDEN, CLASSES, 2);

  async forward(x: Tensor): Promise<Tensor> {
    return this.output.forward(await relu(await this.norm.forward(await this.hidden.forward(x))));
  }
}

const images = ({ images, labels }: Samples): Tensor => tensor(images, [labels.length, PIXELS]);
const oneHot = ({ labels }: Samples): Tensor =>
  tensor(Array.from(labels, (label) => Array.from({ length: CLASSES }, (_, k) => (k === label ? 1 : 0))));

/** Trains `model`, which holds `net`. @returns the share of the test images that it tells right. */
async function train(
  name: string,
  net: DigitNet,
  model: DigitNet | DataParallel<DigitNet>,
  steps: number,
): Promise<number> {
  const { train, test } = loadDataset(1000, randomStream(1, 0));
  const source = batches(train, BATCH, randomStream(1, 1));
  const optimizer = new Sgd(net.parameters(), { lr: 0.01, momentum: 0.9 });
  for (let step = 1; step <= steps; step++) {
    const batch = source.next().value;
    const loss = await scope(async () => {
      const loss = await crossEntropy(await model.forward(images(batch)), oneHot(batch));
      await loss.backward();
      await optimizer.step();
      return loss.item();
    });
    if (step % 50 === 0) console.log(`${name}: step ${step}, loss ${loss.toFixed(3)}`);
  }
  net.eval();
  const logits = await noGrad(async () => (await net.forward(images(test))).data());
  const told = (i: number): number => {
    const own = logits.subarray(i * CLASSES, (i + 1) * CLASSES);
    return own.indexOf(Math.max(...own));
  };
  return test.labels.filter((label, i) => label === told(i)).length / test.labels.length;
}

const { steps } = parseArgs({ options: { steps: { type: 'string', default: '300' } } }).values;
await init('wasm');
defaultDevice('wasm');

const deviceIds = ['cpu:0', 'cpu:1', 'cpu:2', 'cpu:3'];
const wrappers = [
  ['one device, 8 samples', (net: DigitNet) => net],
  ['four devices, 2 samples each, plain', (net: DigitNet) => new DataParallel(net, { deviceIds })],
  ['four devices, 2 samples each, synchronized', (net: DigitNet) => convertModel(new DataParallel(net, { deviceIds }))],
] as const;
for (const [name, wrap] of wrappers) {
  const net = new DigitNet();
  const model = wrap(net);
  const inside = model instanceof DataParallel ? model.module : model;
  const accuracy = await train(name, inside, model, Number(steps));
  console.log(`${name}: ${(100 * accuracy).toFixed(1)} % of 1000 test images told right\n`);
}
