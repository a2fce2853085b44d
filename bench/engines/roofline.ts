/**
 * The roofline: what a layer could not undercut, by a hand-written WebAssembly module (`roofline.wat`), out of place.
 * Variant `copy`: y = x, dx = dy. Variant `affine`: y = a·x + b, dx = a·dy + b·x, which is all that batch norm would be if its
 * statistics were known. It has the four tensors of a layer, and so finds the caches as a layer does.
 */

import { readFileSync } from 'node:fs';
import binaryen from 'binaryen';
import { AFFINE } from '../agreement.ts';
import type { Batch, Engine, LayerRun } from '../engine.ts';
import { repositoryFile } from '../repository.ts';
import { elementCount } from '../workloads.ts';

/** Bytes of a turn of the loops; sizes are rounded up to it. */
const TURN = 64;
const PAGE = 65_536;

interface Kernels {
  readonly memory: WebAssembly.Memory;
  copy(target: number, source: number, bytes: number): void;
  affine(target: number, source: number, bytes: number, a: number, b: number): void;
  combine(target: number, source: number, other: number, bytes: number, a: number, b: number): void;
}

/** Where a layer's tensors lie. */
interface Place {
  readonly count: number;
  readonly bytes: number;
  readonly x: number;
  readonly y: number;
  readonly dy: number;
  readonly dx: number;
}

export async function open(): Promise<Engine> {
  const kernels = await compile();
  let places: Place[] = [];
  return {
    version: `WebAssembly SIMD, V8 ${process.versions.v8}`,
    load: (batches) => void (places = placeAll(kernels.memory, batches)),
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

/** Every layer gets tensors of its own, as in a network; each page is touched before it is timed. */
function placeAll(memory: WebAssembly.Memory, batches: readonly Batch[]): Place[] {
  let next = 0;
  const take = (bytes: number) => (next += bytes) - bytes;
  const places = batches.map(({ shape }): Place => {
    const count = elementCount(shape);
    const bytes = Math.ceil((count * 4) / TURN) * TURN;
    return { count, bytes, x: take(bytes), y: take(bytes), dy: take(bytes), dx: take(bytes) };
  });
  const missing = next - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / PAGE));
  new Uint8Array(memory.buffer, 0, next).fill(0);
  places.forEach(({ x, dy }, i) => {
    new Float32Array(memory.buffer, x).set(batches[i]?.x ?? []);
    new Float32Array(memory.buffer, dy).set(batches[i]?.dy ?? []);
  });
  return places;
}

function layerRun(kernels: Kernels, { count, bytes, x, y, dy, dx }: Place, variant: string): LayerRun {
  const isAffine = variant === 'affine';
  const forward = isAffine ? () => kernels.affine(y, x, bytes, AFFINE.a, AFFINE.b) : () => kernels.copy(y, x, bytes);
  const backward = isAffine
    ? () => kernels.combine(dx, dy, x, bytes, AFFINE.a, AFFINE.b)
    : () => kernels.copy(dx, dy, bytes);
  const read = (start: number) => new Float32Array(kernels.memory.buffer, start, count).slice();
  return {
    forward,
    backward,
    results: () => {
      forward();
      backward();
      return Promise.resolve({ y: read(y), dx: read(dx) });
    },
  };
}
