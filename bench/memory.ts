/** How much memory a training step takes of a device: what it reserves beyond the tensors that must exist. */

import { BatchNorm2d, devices, init, tensor, type Tensor } from 'syncbn';
import { elementCount } from './workloads.ts';

/** 32 MiB: many times the allowance of 1 MiB, so that a hidden copy of the input cannot pass for overhead. */
const LARGE = [8, 64, 128, 128] as const;
/** 256 KiB: small enough to be stepped a thousand times, large enough for leaks to show in wasm pages. */
const SMALL = [4, 16, 32, 32] as const;
const STEPS = 1000;
/** Until every size class of a step has been made. */
const FIRST_STEPS = 20;

export interface MemoryUse {
  /** Bytes of the input. */
  readonly inputBytes: number;
  /** Bytes reserved after a step, without `x`, `y`, `dy` and `dx`. */
  readonly overheadBytes: number;
  /** The same where `dx` is written over `dy`. */
  readonly overheadInPlaceBytes: number;
  /** Bytes reserved by a thousand steps on top of the first. */
  readonly growthBytes: number;
}

/** Measures on devices that nothing else has used: memory once reserved is never given back. */
export async function measureMemory(): Promise<MemoryUse> {
  const inputBytes = elementCount(LARGE) * 4;
  await init(['cpu:1', 'cpu:2', 'cpu:3']);
  await trainOn('cpu:1', LARGE, 1, false);
  await trainOn('cpu:2', LARGE, 1, true);
  await trainOn('cpu:3', SMALL, FIRST_STEPS, false);
  const reservedAtFirst = reservedBytes('cpu:3');
  await trainOn('cpu:3', SMALL, STEPS, false);
  return {
    inputBytes,
    overheadBytes: reservedBytes('cpu:1') - 4 * inputBytes,
    overheadInPlaceBytes: reservedBytes('cpu:2') - 3 * inputBytes,
    growthBytes: reservedBytes('cpu:3') - reservedAtFirst,
  };
}

/** Steps as a training loop makes them: `x` stays, the other tensors are made anew each time. */
async function trainOn(device: string, shape: readonly number[], steps: number, isInPlace: boolean): Promise<void> {
  const layer = new BatchNorm2d(shape[1] ?? 0, { device });
  const values = Float32Array.from({ length: elementCount(shape) }, (_, i) => Math.sin(i));
  const x = tensor(values, shape, { device, requiresGrad: true });
  for (let step = 0; step < steps; step++) {
    const y = await layer.forward(x);
    const dy = tensor(values, shape, { device });
    await y.backward(isInPlace ? dy.donate() : dy);
    layer.zeroGrad();
    disposeAll(y, dy, x.grad);
    x.grad = null;
  }
  disposeAll(x, ...layer.parameters(), ...layer.buffers());
}

function disposeAll(...tensors: (Tensor | null)[]): void {
  for (const one of tensors) one?.dispose();
}

function reservedBytes(name: string): number {
  const description = devices.describe().find((device) => device.name === name);
  if (description === undefined) throw new Error(`device ${name} is not described`);
  return description.memory.bytesReserved;
}
