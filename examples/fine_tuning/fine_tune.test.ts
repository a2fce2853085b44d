import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import { registerTrainingKernels } from 'syncbn/tfjs';
import { beforeAll, expect, it } from 'vitest';
import { fineTune } from './fine_tune.ts';

beforeAll(async () => {
  await tf.setBackend('wasm');
  registerTrainingKernels();
});

// InceptionV3 has batch norms without scale, whose gradients tfjs alone does not compute.
it.each([
  { network: 'mobilenet_v2', size: 32 },
  { network: 'inception_v3', size: 75 },
] as const)(
  '$network takes its first step on two devices as on one, if it synchronizes',
  async ({ network, size }) => {
    const options = { network, size, devices: 2, steps: 1, testImages: 2, seed: 1 };
    const told: string[] = [];
    const results = await fineTune(options, (run, step, loss) => told.push(`${run} ${step} ${loss}`));
    const [one, plain, synchronized] = results.map(({ losses: [loss] }) => loss);
    expect(synchronized).toBe(one);
    expect(plain).not.toBe(one);
    expect(told).toHaveLength(3);
    expect(results.every(({ accuracy }) => accuracy >= 0 && accuracy <= 1)).toBe(true);
  },
  300_000,
);
