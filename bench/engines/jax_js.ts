/** jax-js on its WebAssembly backend: one jitted function for the forward, one for forward and gradients. */

import { blockUntilReady, defaultDevice, init, jit, numpy as np, vjp } from '@jax-js/jax';
import type { Batch, Engine, LayerResults, LayerRun } from '../engine.ts';
import { packageVersion } from '../repository.ts';
import { sizesOf } from '../workloads.ts';

const EPS = 1e-5;

type Parameters = readonly [x: np.Array, weight: np.Array, bias: np.Array];

/** @throws Error where the backend does not start. */
export async function openJaxJs(): Promise<Engine> {
  // Without `Worker`, which Node lacks, the backend computes in the calling thread: one thread, as asked for.
  const available = await init('wasm');
  if (!available.includes('wasm')) throw new Error('jax-js offers no wasm backend here');
  defaultDevice('wasm');
  let runs: LayerRun[] = [];
  let release: (() => void)[] = [];
  const unload = () => {
    release.forEach((free) => free());
    runs = [];
    release = [];
  };
  return {
    version: `jax-js ${packageVersion('node_modules/@jax-js/jax')}`,
    async load(batches) {
      unload();
      for (const batch of batches) {
        const { run, free } = await layerRun(batch);
        runs.push(run);
        release.push(free);
      }
    },
    layers: () => runs,
    unload,
  };
}

/** Arrays are (N, C, L) or (N, L, C): what the dimensions after C are makes no difference to any kernel. */
async function layerRun(batch: Batch): Promise<{ run: LayerRun; free: () => void }> {
  const { samples, channels, length } = sizesOf(batch.shape);
  const isLast = batch.format === 'channels_last';
  const axes = isLast ? [0, 1] : [0, 2];
  const place = (values: Float32Array) => {
    const logical = np.array(values).reshape([samples, channels, length]);
    return isLast ? np.transpose(logical, [0, 2, 1]) : logical;
  };
  const perChannel = (values: Float32Array) => np.array(values).reshape(isLast ? [1, 1, channels] : [1, channels, 1]);
  const readLogical = (values: np.Array) => (isLast ? np.transpose(values, [0, 2, 1]) : values).data();

  const batchNorm = (x: np.Array, weight: np.Array, bias: np.Array): np.Array => {
    const deviation = x.ref.sub(np.mean(x, axes, { keepdims: true }));
    const variance = np.mean(np.square(deviation.ref), axes, { keepdims: true });
    // Of the formulas tried, the one it is fastest with: the scale is computed per channel.
    return deviation.mul(weight.div(np.sqrt(variance.add(EPS)))).add(bias);
  };
  const forward = jit(batchNorm);
  const step = jit((x: np.Array, weight: np.Array, bias: np.Array, dy: np.Array): np.Array[] => {
    const [y, backward] = vjp(batchNorm, [x, weight, bias]);
    return [y, ...(backward(dy) as np.Array[])];
  });

  const parameters: Parameters = [place(batch.x), perChannel(batch.weight), perChannel(batch.bias)];
  const dy = place(batch.dy);
  await blockUntilReady([...parameters, dy]);
  // A function of jax-js consumes its arguments; `.ref` is one more reference, no copy.
  const again = () => parameters.map((array) => array.ref) as unknown as [np.Array, np.Array, np.Array];
  const runStep = () => blockUntilReady(step(...again(), dy.ref));

  const run: LayerRun = {
    async forward() {
      const y = await blockUntilReady(forward(...again()));
      y.dispose();
    },
    async step() {
      for (const array of await runStep()) array.dispose();
    },
    async results(): Promise<LayerResults> {
      const [y, dx, dweight, dbias] = (await runStep()) as [np.Array, np.Array, np.Array, np.Array];
      return {
        y: (await readLogical(y)) as Float32Array,
        dx: (await readLogical(dx)) as Float32Array,
        dweight: (await dweight.data()) as Float32Array,
        dbias: (await dbias.data()) as Float32Array,
      };
    },
  };
  const free = () => {
    forward.dispose();
    step.dispose();
    for (const array of [...parameters, dy]) array.dispose();
  };
  return { run, free };
}
