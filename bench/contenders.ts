/** Who is compared: an engine, run in one of its variants. */

import type { Pass } from './engine.ts';

export const engineNames = ['syncbn', 'workers', 'kernels', 'pytorch', 'jax-js', 'tfjs', 'roofline'] as const;
/** Engines of `npm run bench` and `npm run bench:parallel`. */
export type CpuEngineName = (typeof engineNames)[number];

/** Where WebGPU comes from: Dawn in Node, or a page. */
export const gpuPlatforms = ['node', 'chromium'] as const;
export type GpuPlatform = (typeof gpuPlatforms)[number];

export const gpuFrameworks = ['syncbn', 'jax-js', 'tfjs', 'copy', 'replicas'] as const;
export type GpuFramework = (typeof gpuFrameworks)[number];

/** Engines of `npm run bench:gpu`. */
export type GpuEngineName = `${GpuPlatform}/${GpuFramework}`;

/** `compare.ts` names more of them. */
export type EngineName = CpuEngineName | GpuEngineName | (string & {});

export interface Contender {
  /** As `--contenders` takes it. */
  readonly name: string;
  /** At the head of a table's column. */
  readonly title: string;
  readonly engine: EngineName;
  readonly variant: string;
  /** What is reported of it. */
  readonly passes: readonly Pass[];
  /** Larger workloads are left out: they would take minutes a step. */
  readonly maximumElements?: number;
}

const ALL: readonly Pass[] = ['forward', 'backward', 'step'];
/** Forward in place is no case of training, where backward needs `x`; so only what follows it differs. */
const IN_PLACE: readonly Pass[] = ['backward', 'step'];
/** The backward pass of `torch` numerics is that of `stable`. */
const TORCH: readonly Pass[] = ['forward', 'step'];

/** In the order in which they are measured, and printed. */
export const contenders = [
  { name: 'syncbn', title: 'syncbn\nstable', engine: 'syncbn', variant: 'stable', passes: ALL },
  { name: 'kernels', title: 'kernels\nstable', engine: 'kernels', variant: 'stable', passes: ALL },
  { name: 'syncbn-in-place', title: 'syncbn\nin place', engine: 'syncbn', variant: 'in-place', passes: IN_PLACE },
  { name: 'kernels-in-place', title: 'kernels\nin place', engine: 'kernels', variant: 'in-place', passes: IN_PLACE },
  { name: 'syncbn-torch', title: 'syncbn\ntorch', engine: 'syncbn', variant: 'torch', passes: TORCH },
  { name: 'kernels-torch', title: 'kernels\ntorch', engine: 'kernels', variant: 'torch', passes: TORCH },
  { name: 'pytorch-1', title: 'PyTorch\n1 thread', engine: 'pytorch', variant: '1', passes: ALL },
  { name: 'pytorch-2', title: 'PyTorch\n2 threads', engine: 'pytorch', variant: '2', passes: ALL },
  { name: 'jax-js', title: 'jax-js\nwasm', engine: 'jax-js', variant: 'jit', passes: ['forward', 'step'] },
  {
    name: 'tfjs',
    title: 'tfjs wasm\nNHWC',
    engine: 'tfjs',
    variant: 'nhwc',
    passes: ['forward', 'step'],
    maximumElements: 5e7,
  },
  { name: 'wasm-copy', title: 'wasm\ncopy', engine: 'roofline', variant: 'copy', passes: ALL },
  { name: 'wasm-affine', title: 'wasm\naffine', engine: 'roofline', variant: 'affine', passes: ALL },
] as const satisfies readonly Contender[];

/** Who is compared by `npm run bench:parallel`. On one worker nothing is synchronized. */
export const parallelContenders = [
  { name: 'synchronized-1', title: '1 worker', engine: 'workers', variant: 'synchronized:1', passes: ['step'] },
  { name: 'synchronized-2', title: '2 workers', engine: 'workers', variant: 'synchronized:2', passes: ['step'] },
  { name: 'unsynchronized-2', title: '2 apart', engine: 'workers', variant: 'unsynchronized:2', passes: ['step'] },
  { name: 'synchronized-4', title: '4 workers', engine: 'workers', variant: 'synchronized:4', passes: ['step'] },
  { name: 'unsynchronized-4', title: '4 apart', engine: 'workers', variant: 'unsynchronized:4', passes: ['step'] },
  { name: 'synchronized-8', title: '8 workers', engine: 'workers', variant: 'synchronized:8', passes: ['step'] },
  { name: 'unsynchronized-8', title: '8 apart', engine: 'workers', variant: 'unsynchronized:8', passes: ['step'] },
  { name: 'pytorch-2', title: 'PyTorch\n2 threads', engine: 'pytorch', variant: '2', passes: ['step'] },
] as const satisfies readonly Contender[];

/** Who is compared by `npm run bench:gpu`, on each platform. */
const gpuTemplates = [
  { name: 'syncbn', title: 'syncbn', engine: 'syncbn', variant: 'stable', passes: ALL },
  { name: 'moments', title: 'moments\nalone', engine: 'syncbn', variant: 'moments', passes: ['forward'] },
  // Their gradient functions cannot be split from the forward pass, and tfjs takes seconds for a step of the largest layers.
  { name: 'jax-js', title: 'jax-js', engine: 'jax-js', variant: 'jit', passes: ['forward', 'step'] },
  {
    name: 'tfjs',
    title: 'tfjs\nNHWC',
    engine: 'tfjs',
    variant: 'nhwc',
    passes: ['forward', 'step'],
    maximumElements: 1e7,
  },
  { name: 'copy', title: 'copy', engine: 'copy', variant: 'copy', passes: ALL },
  { name: 'synchronized', title: '2 devices', engine: 'replicas', variant: 'synchronized', passes: ALL },
  { name: 'apart', title: '2 apart', engine: 'replicas', variant: 'apart', passes: ALL },
  { name: 'round-trip', title: 'mapAsync', engine: 'replicas', variant: 'round-trip', passes: ['forward'] },
] as const;

export type GpuContenderName = (typeof gpuTemplates)[number]['name'];

/** One platform's contenders. */
export function gpuContendersOf<P extends GpuPlatform>(platform: P) {
  return gpuTemplates.map((template) => ({
    ...template,
    name: `${platform}/${template.name}` as const,
    engine: `${platform}/${template.engine}` as const,
  }));
}

export type ContenderName =
  | (typeof contenders | typeof parallelContenders)[number]['name']
  | `${GpuPlatform}/${GpuContenderName}`
  | (string & {});

/** A contender of the list. */
export type NamedContender = Contender & { readonly name: ContenderName };
