/** jax-js on its WebAssembly backend: one jitted function for the forward, one for forward and gradients. */

import { blockUntilReady, defaultDevice, init, jit, numpy as np, vjp } from '@jax-js/jax';
import { fromChannelsLast, toChannelsLast } from '../channels_last.ts';
import type { Batch, Engine, LayerResults, LayerRun } from '../engine.ts';
import { packageVersion } from '../repository.ts';
import { type MemoryFormat, sizesOf } from '../workloads.ts';

const EPS = 1e-5;

type Parameters = readonly [x: np.Array, weight: np.Array, bias: np.Array];

/** @throws Error where the backend does not start. */
export async function openJaxJs(): Promise<Engine> {
  // Without `Worker`, which Node lacks, the backend computes in the calling thread: one thread, as asked for.
  const available = await init('wasm');
  if (!available.includes('wasm')) throw new Error('jax-js offers no wasm backend here');
  defaultDevice('wasm');
  const functions = {
    contiguous: compiledFunctions('contiguous'),
    channels_last: compiledFunctions('channels_last'),
  };
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
        const { run, free } = await layerRun(batch, functions);
        runs.push(run);
        release.push(free);
      }
    },
    layers: () => runs,
    unload,
  };
}

type Functions = ReturnType<typeof compiledFunctions>;

/** Compiled once for each shape that they meet. */
function compiledFunctions(format: MemoryFormat) {
  const axes = format === 'channels_last' ? [0, 1] : [0, 2];
  const batchNorm = (x: np.Array, weight: np.Array, bias: np.Array): np.Array => {
    const deviation = x.ref.sub(np.mean(x, axes, { keepdims: true }));
    const variance = np.mean(np.square(deviation.ref), axes, { keepdims: true });
    // Of the formulas tried, the one it is fastest with: the scale is computed per channel.
    return deviation.mul(weight.div(np.sqrt(variance.add(EPS)))).add(bias);
  };
  return {
    forward: jit(batchNorm),
    step: jit((x: np.Array, weight: np.Array, bias: np.Array, dy: np.Array): np.Array[] => {
      const [y, backward] = vjp(batchNorm, [x, weight, bias]);
      return [y, ...(backward(dy) as np.Array[])];
    }),
  };
}

/** Arrays are (N, C, L) or (N, L, C): what the dimensions after C are makes no difference to any kernel. */
async function layerRun(
  batch: Batch,
  functions: Readonly<Record<MemoryFormat, Functions>>,
): Promise<{ run: LayerRun; free: () => void }> {
  const { samples, channels, length } = sizesOf(batch.shape);
  const isLast = batch.format === 'channels_last';
  const place = (values: Float32Array) =>
    isLast
      ? np.array(toChannelsLast(values, batch.shape)).reshape([samples, length, channels])
      : np.array(values).reshape([samples, channels, length]);
  const perChannel = (values: Float32Array) => np.array(values).reshape(isLast ? [1, 1, channels] : [1, channels, 1]);
  const readLogical = async (array: np.Array): Promise<Float32Array> => {
    const values = (await array.data()) as Float32Array;
    return isLast ? fromChannelsLast(values, batch.shape) : values;
  };

  const { forward, step } = functions[batch.format];
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
        y: await readLogical(y),
        dx: await readLogical(dx),
        dweight: (await dweight.data()) as Float32Array,
        dbias: (await dbias.data()) as Float32Array,
      };
    },
  };
  const free = () => {
    for (const array of [...parameters, dy]) array.dispose();
  };
  return { run, free };
}
