/** A buffer of its owner as the input of a layer, on a GPU: the results are those of a copy, and the buffer stays as it was. */

import { BatchNorm1d, devices, tensor, tensorFromGPUBuffer, type Tensor } from 'syncbn';
import { randomArray } from '../../tests/support/random.ts';
import { valuesOf } from '../batches.ts';
import { disposeModel } from '../model.ts';
import { checkBits } from '../outcome.ts';
import type { StepOf } from '../program.ts';
import { elementsOf } from '../shards.ts';
import type { World } from '../world.ts';

/** As WebGPU's `GPUBufferUsage` has them: STORAGE, COPY_SRC and COPY_DST. */
const USAGE = 0x80 | 0x4 | 0x8;

/** What this step uses of the platform's device; Node's types have no WebGPU. */
interface OwnersDevice {
  createBuffer(description: { readonly size: number; readonly usage: number }): GPUBuffer & { destroy(): void };
  readonly queue: { writeBuffer(buffer: GPUBuffer, offset: number, data: Float32Array): void };
}

export async function adopt(world: World, step: StepOf<'adopt'>): Promise<void> {
  const gpus = world.names.filter((name) => name.startsWith('webgpu:') && !world.lost.has(name));
  const name = gpus[step.device % Math.max(gpus.length, 1)];
  if (name === undefined) return;
  const { samples, rest, values, seed } = step.batch;
  const { channels } = world.program;
  const shape = [samples, channels, rest[0] ?? 1];
  const count = elementsOf(shape);
  if (count <= channels) return;
  const size = 16 * Math.ceil(count / 4 + step.extra);
  const data = new Float32Array(size / 4).fill(7);
  data.set(valuesOf(count, values, seed));
  const owner = devices.get(name as `webgpu:${number}`).gpuDevice as OwnersDevice;
  const buffer = owner.createBuffer({ size, usage: USAGE });
  owner.queue.writeBuffer(buffer, 0, data);
  const made: Tensor[] = [];
  try {
    const adopted = await tensorFromGPUBuffer(buffer, shape, { device: name, requiresGrad: true });
    const copy = tensor(data.subarray(0, count), shape, { device: name, requiresGrad: true });
    made.push(adopted, copy);
    const [own, expected] = [await trainTwice(adopted, seed), await trainTwice(copy, seed)];
    for (const [i, result] of own.entries()) checkBits('bits', 'results of an adopted buffer', result, expected[i]);
    const all = await tensorFromGPUBuffer(buffer, [size / 4], { device: name });
    made.push(all);
    checkBits('bits', 'the values of an adopted buffer', await all.data(), data);
  } finally {
    made.forEach((item) => item.dispose());
    buffer.destroy();
  }
}

/** Two passes that add to the same gradients, and the last donates its input. */
async function trainTwice(x: Tensor, seed: number): Promise<readonly Float32Array[]> {
  const { device, shape } = x;
  const norm = new BatchNorm1d(shape[1] ?? 1, { device });
  const results: Float32Array[] = [];
  for (let pass = 0; pass < 2; pass++) {
    const y = await norm.forward(x);
    const dy = tensor(randomArray(seed + pass, elementsOf(shape)), shape, { device });
    await y.backward(dy.donate());
    results.push(await y.data());
    y.dispose();
  }
  const gradients = [x, ...norm.parameters()].map(async ({ grad }) => (await grad?.data()) ?? new Float32Array());
  results.push(...(await Promise.all(gradients)));
  const detached = x.detach().donate();
  const evaluated = await norm.eval().forward(detached);
  results.push(await evaluated.data());
  evaluated.dispose();
  detached.dispose();
  disposeModel(norm);
  return results;
}
