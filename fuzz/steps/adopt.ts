/** A buffer of its owner as the input of a layer, on a GPU: the results are those of a copy, and the buffer stays as it was. */

import { BatchNorm1d, devices, tensor, tensorFromGPUBuffer, type Tensor, ValidationError } from 'syncbn';
import { randomArray } from '../../tests/support/random.ts';
import { valuesOf } from '../batches.ts';
import { disposeModel, stateOf } from '../model.ts';
import { checkBits, checkOutcome, errorOf, failure } from '../outcome.ts';
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
  if (step.isDestroyed) return adoptDestroyed(name, buffer, shape);
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

/** A buffer that its owner destroys fails what uses it, and that alone: the layer stays as it was. */
async function adoptDestroyed(
  device: string,
  buffer: GPUBuffer & { destroy(): void },
  shape: readonly number[],
): Promise<void> {
  const norm = new BatchNorm1d(shape[1] ?? 1, { device });
  const lent = await tensorFromGPUBuffer(buffer, shape, { device });
  const own = tensor(randomArray(1, elementsOf(shape)), shape, { device, requiresGrad: true });
  const made = [lent, own];
  try {
    const y = await norm.forward(own);
    made.push(y);
    const before = await stateOf(norm);
    const values = await own.data();
    buffer.destroy();
    const forward = norm.forward(lent);
    const [error, read] = await Promise.all([errorOf(() => forward), own.data()]);
    checkOutcome('forward of a destroyed buffer', error, failure(ValidationError));
    checkBits('bits', 'a tensor beside a destroyed buffer', read, values);
    checkOutcome('backward of a destroyed buffer', await errorOf(() => y.backward(lent)), failure(ValidationError));
    const after = await stateOf(norm);
    for (const [item, wanted] of before)
      checkBits('state', `${item} after a destroyed buffer`, after.get(item), wanted);
    checkBits('state', 'dx after a destroyed buffer', await own.grad?.data(), null);
  } finally {
    made.forEach((item) => item.dispose());
    disposeModel(norm);
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
