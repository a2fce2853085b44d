/** Scatter and gather alone, in units of what it takes to copy the batch once. */

import { DataParallel, devices, init, Module, tensor, type Tensor } from 'syncbn';
import { interleave } from '../measure.ts';

/** 16 MiB: larger than the caches nearest to a core, as batches are. */
const SHAPE = [16, 64, 64, 64] as const;
const WARM_UP_ROUNDS = 5;

/** Seconds at best. */
export interface ScatterGatherTime {
  readonly bytes: number;
  readonly copy: number;
  readonly scatterGather: number;
}

/** Gives back what it is given. */
class Identity extends Module {
  forward(x: Tensor): Promise<Tensor> {
    return Promise.resolve(x);
  }
}

/** From the calling thread to two workers and back. */
export async function measureScatterGather(rounds: number): Promise<ScatterGatherTime> {
  const length = SHAPE.reduce((product, size) => product * size, 1);
  const source = Float32Array.from({ length }, (_, i) => i);
  const target = new Float32Array(length);
  const deviceIds = ['worker:0', 'worker:1'];
  await init(['cpu:0', ...deviceIds]);
  const x = tensor(source, SHAPE);
  const identity = new DataParallel(new Identity(), { deviceIds, outputDevice: 'cpu:0' });
  const contenders = [
    {
      seconds: [] as number[],
      run: () => {
        target.set(source);
        return Promise.resolve();
      },
    },
    { seconds: [] as number[], run: async () => (await identity.forward(x)).dispose() },
  ] as const;
  await interleave(
    contenders,
    ({ seconds }) => seconds.length >= WARM_UP_ROUNDS + rounds,
    async ({ seconds, run }) => {
      const start = performance.now();
      await run();
      seconds.push((performance.now() - start) / 1000);
    },
  );
  x.dispose();
  await devices.close();
  const [copy, scatterGather] = contenders.map(({ seconds }) => Math.min(...seconds.slice(WARM_UP_ROUNDS)));
  return { bytes: source.byteLength, copy: copy ?? Number.NaN, scatterGather: scatterGather ?? Number.NaN };
}
