import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import { init } from 'syncbn';
import { runRanks } from 'syncbn/distributed';
import { registerTrainingKernels } from 'syncbn/tfjs';
import { expect, it } from 'vitest';
import { trainRank } from './train_rank.ts';

it('ranks_train_MobileNetV2_alike', async () => {
  await init();
  await tf.setBackend('wasm');
  registerTrainingKernels();
  const [first, second] = await runRanks(2, (group) => trainRank(group, { batch: 1, steps: 1 }));
  expect(first?.losses).toHaveLength(1);
  expect(first?.losses.every((loss) => loss > 0 && loss < 20)).toBe(true);
  expect(second).toMatchObject({ losses: first?.losses, checksum: first?.checksum });
});
