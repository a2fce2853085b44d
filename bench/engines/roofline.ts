/** The roofline: plain and affine copies by a hand-written WebAssembly module (`roofline.wat`), out of place. */

import { readFileSync } from 'node:fs';
import binaryen from 'binaryen';
import type { Batch, Engine, LayerRun } from '../engine.ts';
import { repositoryFile } from '../repository.ts';
import { elementCount } from '../workloads.ts';

const A = 1.5;
const B = -0.25;
/** Bytes of a turn of the loops; sizes are rounded up to it. */
const TURN = 64;
const PAGE = 65_536;

interface Kernels {
  readonly memory: WebAssembly.Memory;
  copy(target: number, source: number, bytes: number): void;
  affine(target: number, source: number, bytes: number, a: number, b: number): void;
}

/** Where a layer's source and target lie. */
interface Place {
  readonly batch: Batch;
  readonly source: number;
  readonly target: number;
  readonly bytes: number;
}

export async function openRoofline(): Promise<Engine> {
  const kernels = await compile();
  let places: Place[] = [];
  return {
    version: `WebAssembly SIMD, V8 ${process.versions.v8}`,
    load(batches) {
      places = placeAll(kernels.memory, batches);
      return Promise.resolve();
    },
    layers: (variant) => places.map((place) => layerRun(kernels, place, variant)),
    unload: () => void (places = []),
  };
}

/** Text to machine code. The assembler optimizes nothing; V8 does what it does for every module. */
async function compile(): Promise<Kernels> {
  const assembled = binaryen.parseText(readFileSync(repositoryFile('bench/engines/roofline.wat'), 'utf8'));
  assembled.setFeatures(binaryen.Features.SIMD128);
  if (!assembled.validate()) throw new Error('bench/engines/roofline.wat is no valid module');
  const { instance } = await WebAssembly.instantiate(assembled.emitBinary() as Uint8Array<ArrayBuffer>);
  return instance.exports as unknown as Kernels;
}

/** Every layer gets a source and a target of its own, as in a network; each page is touched before it is timed. */
function placeAll(memory: WebAssembly.Memory, batches: readonly Batch[]): Place[] {
  let next = 0;
  const take = (bytes: number) => (next += bytes) - bytes;
  const places = batches.map((batch): Place => {
    const bytes = Math.ceil((elementCount(batch.shape) * 4) / TURN) * TURN;
    return { batch, bytes, source: take(bytes), target: take(bytes) };
  });
  const missing = next - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / PAGE));
  new Uint8Array(memory.buffer, 0, next).fill(0);
  for (const { batch, source } of places) new Float32Array(memory.buffer, source).set(batch.x);
  return places;
}

function layerRun(kernels: Kernels, { batch, source, target, bytes }: Place, variant: string): LayerRun {
  const run =
    variant === 'affine'
      ? () => kernels.affine(target, source, bytes, A, B)
      : () => kernels.copy(target, source, bytes);
  return {
    forward: run,
    results: () => {
      run();
      return Promise.resolve({ y: new Float32Array(kernels.memory.buffer, target, elementCount(batch.shape)).slice() });
    },
  };
}

/** What the variants compute, for the check. */
export function expectedOf(variant: string, x: readonly number[]): number[] {
  return variant === 'affine' ? x.map((value) => Math.fround(Math.fround(value * A) + B)) : [...x];
}
