/** All ways of the benchmark train, and learn the same. */

import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import { init } from 'syncbn';
import { beforeAll, expect, it } from 'vitest';
import { batchOf, compiled, networks, type Network } from './networks.ts';
import { prepare, type WayName } from './ways.ts';

beforeAll(async () => {
  await init(['cpu:0', 'cpu:1']);
  await tf.setBackend('wasm');
});

it('each_way_on_wasm_but_that_of_tfjs_alone_takes_a_step', async () => {
  const { digits } = networks as { readonly digits: Network };
  const batch = batchOf(digits);
  for (const name of ['kernels', 'layers', 'adapter 1', 'apart 2', 'adapter 2'] satisfies WayName[]) {
    await (await prepare(name, digits, batch, 'wasm')).step();
  }
  await expect((await prepare('tfjs', digits, batch, 'wasm')).step()).rejects.toThrow('Conv2DBackpropFilter');
});

it('the_networks_take_the_batches_that_are_made_for_them', async () => {
  for (const network of Object.values(networks)) {
    const [xs, ys] = batchOf(network);
    const model = await compiled(network);
    expect((model.predict(xs) as tf.Tensor).shape).toEqual(ys.shape);
    model.dispose();
  }
});
