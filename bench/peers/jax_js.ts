/** jax-js on its WebAssembly or WebGPU backend: one jitted function for the forward, one for forward and gradients. */

import { blockUntilReady, defaultDevice, init, jit, numpy as np, vjp } from '@jax-js/jax';
import { fromChannelsLast, toChannelsLast } from '../channels_last.ts';
import bench from '../package.json' with { type: 'json' };
import type { Batch, Engine, LayerResults, LayerRun } from '../engine.ts';
import { type MemoryFormat, sizesOf } from '../workloads.ts';

const EPS = 1e-5;

type Parameters = readonly [x: np.Array, weight: np.Array, bias: np.Array];

export function open(): Promise<Engine> {
  return openJaxJs('wasm', () => undefined);
}

/**
 * @param finisherOf - of the backend's device; where it gives one, results need not be awaited layer by layer.
 * @throws Error where the backend does not start.
 */
export async function openJaxJs(
  backend: 'wasm' | 'webgpu',
  finisherOf: () => (() => Promise<void>) | undefined,
): Promise<Engine> {
  // Without `Worker`, which Node lacks, the backend computes in the calling thread: one thread, as asked for.
  const available = await init(backend);
  if (!available.includes(backend)) throw new Error(`jax-js offers no ${backend} backend here`);
  defaultDevice(backend);
  const functions = {
    contiguous: compiledFunctions('contiguous'),
    channels_last: compiledFunctions('channels_last'),
  };
  const finished = finisherOf();
  const pending: np.Array[] = [];
  const settle = async (results: np.Array[]): Promise<void> => {
    await blockUntilReady(results);
    for (const array of results) array.dispose();
  };
  const drop = (results: np.Array[]) =>
    finished === undefined ? settle(results) : Promise.resolve(void pending.push(...results));
  let runs: LayerRun[] = [];
  let release: (() => void)[] = [];
  const unload = () => {
    release.forEach((free) => free());
    runs = [];
    release = [];
  };
  return {
    version: `jax-js ${bench.dependencies['@jax-js/jax']}`,
    async load(batches) {
      unload();
      for (const batch of batches) {
        const { run, free } = await layerRun(batch, functions, drop);
        runs.push(run);
        release.push(free);
      }
    },
    layers: () => runs,
    ...(finished !== undefined && {
      finish: async () => {
        await settle(pending.splice(0));
        await finished();
      },
    }),
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
  drop: (results: np.Array[]) => Promise<void>,
): Promise<{ run: LayerRun; free: () => void }> {
  const { samples, channels, length } = sizesOf(batch.shape);
  const isLast = batch.format === 'channels_last';
  const place = (values: Float32Array) =>
    isLast
      ? np.array(toChannelsLast(values, batch.shape)).reshape([samples, length, channels])
      : np.array(values as Float32Array<ArrayBuffer>).reshape([samples, channels, length]);
  const perChannel = (values: Float32Array) =>
    np.array(values as Float32Array<ArrayBuffer>).reshape(isLast ? [1, 1, channels] : [1, channels, 1]);
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
  const runStep = () => step(...again(), dy.ref);

  const run: LayerRun = {
    forward: () => drop([forward(...again())]),
    step: () => drop(runStep()),
    async results(): Promise<LayerResults> {
      const [y, dx, dweight, dbias] = (await blockUntilReady(runStep())) as [np.Array, np.Array, np.Array, np.Array];
      return {
        y: await readLogical(y),
        dx: await readLogical(dx),
        dweight: await dweight.data(),
        dbias: await dbias.data(),
      };
    },
  };
  const free = () => {
    for (const array of [...parameters, dy]) array.dispose();
  };
  return { run, free };
}
