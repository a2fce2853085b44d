/** Who is compared: an engine, run in one of its variants. */

import type { Pass } from './engine.ts';
import type { Family, Workload } from './workloads.ts';

export interface Contender {
  /** As `--contenders` takes it. On WebGPU the platform stands before it: `node/syncbn`. */
  readonly name: string;
  /** At the head of a table's column. */
  readonly title: string;
  /** The file in `engines/` or `peers/`. On WebGPU the platform stands before it. */
  readonly engine: string;
  readonly variant: string;
  /** What is reported of it. */
  readonly passes: readonly Pass[];
  /** What it is measured on. */
  readonly takes: (workload: Workload) => boolean;
  /** It does not compute batch normalization of the whole batch, so its results are not compared with the reference. */
  readonly isUnchecked?: true;
}

const ALL: readonly Pass[] = ['forward', 'backward', 'step'];
/** A forward pass in place is no case of training, where backward needs `x`. So only what follows it differs. */
const IN_PLACE: readonly Pass[] = ['backward', 'step'];
/** The backward pass of `torch` numerics is that of `stable`. */
const TORCH: readonly Pass[] = ['forward', 'step'];
/** The gradient functions of jax-js and TensorFlow.js compute the forward pass as well. */
const UNSPLIT: readonly Pass[] = ['forward', 'step'];

const takesLayers = ({ family }: Workload) => family !== 'chain';
/** Larger workloads would take minutes a step. */
const takesUpTo = (values: number) => (workload: Workload) => takesLayers(workload) && workload.values <= values;
const takes =
  (...families: Family[]) =>
  ({ family }: Workload) =>
    families.includes(family);

type Taking = Partial<Pick<Contender, 'takes' | 'isUnchecked'>>;

function contender(
  name: string,
  title: string,
  engine: string,
  variant: string,
  passes: readonly Pass[],
  taking: Taking = {},
): Contender {
  return { name, title, engine, variant, passes, takes: takesLayers, ...taking };
}

/** PyTorch with so many threads: each way that might be its fastest. */
function pytorch(threads: 1 | 2, passes: readonly Pass[]): Contender[] {
  const suffix = threads === 1 ? '' : `-${threads}`;
  const one = (name: string, title: string, variant: string, taking?: Taking) =>
    contender(`${name}${suffix}`, `PyTorch ${threads}\n${title}`, 'pytorch', `${variant}:${threads}`, passes, taking);
  return [
    one('pytorch-eager', 'eager', 'eager', { takes: () => true }),
    // A workload that is channels last, or has two dimensions, already lies so.
    one('pytorch-last', 'channels last', 'channels_last', { takes: takes('contiguous', 'small', 'network') }),
    // A process of its own: where nothing can be compiled, the others go on.
    { ...one('pytorch-compiled', 'compiled', 'compiled'), engine: 'pytorch_compiled' },
  ];
}

/** A chain of synchronized layers on these devices. */
function chain(name: string, devices: string): Contender {
  const taking = { takes: takes('chain'), isUnchecked: true } as const;
  return contender(name, devices.replace(',', '\n'), 'replicas', `synchronized@${devices}`, ALL, taking);
}

const CPU_CHAINS = [chain('chain-cpu-1', 'cpu:0'), chain('chain-cpu-2', 'cpu:0,cpu:1')];

/** Of `npm run bench`, in the order in which they are measured and printed. */
export const cpuContenders: readonly Contender[] = [
  contender('syncbn', 'syncbn\nstable', 'layers', 'stable', ALL),
  contender('syncbn-in-place', 'syncbn\nin place', 'layers', 'in-place', IN_PLACE),
  contender('syncbn-torch', 'syncbn\ntorch', 'layers', 'torch', TORCH),
  ...pytorch(1, ALL),
  contender('jax-js', 'jax-js\nwasm', 'jax_js', 'jit', UNSPLIT),
  contender('tfjs', 'tfjs wasm\nNHWC', 'tfjs', 'nhwc', UNSPLIT, { takes: takesUpTo(5e7) }),
  contender('wasm-copy', 'wasm\ncopy', 'roofline', 'copy', ALL),
  contender('wasm-affine', 'wasm\naffine', 'roofline', 'affine', ALL),
  ...CPU_CHAINS,
];

/** Numbers of workers that `npm run bench:parallel` compares. */
export const WORKER_COUNTS = [1, 2, 4, 8] as const;

/** Each number has workers of its own, among which both kinds of networks have the same tensors. */
function workers(kind: 'synchronized' | 'apart', count: number): Contender {
  const names = Array.from({ length: count }, (_, i) => `worker:${count - 1 + i}`);
  const taking = { takes: takes('contiguous', 'network'), ...(kind === 'apart' && { isUnchecked: true as const }) };
  return contender(`${kind}-${count}`, `${kind} ${count}`, 'replicas', `${kind}@${names.join()}`, ['step'], taking);
}

/** Of `npm run bench:parallel`. On one worker nothing is synchronized. */
export const parallelContenders: readonly Contender[] = [
  workers('synchronized', 1),
  ...[2, 4, 8].flatMap((count) => [workers('synchronized', count), workers('apart', count)]),
  ...pytorch(2, ['step']),
  ...CPU_CHAINS,
  chain('chain-worker-1', 'worker:0'),
  chain('chain-worker-2', 'worker:0,worker:1'),
];

/** Where WebGPU comes from: Dawn in Node, or a page of Chromium. */
export const gpuPlatforms = ['node', 'chromium'] as const;
export type GpuPlatform = (typeof gpuPlatforms)[number];

/** Two devices are measured on layers of rank 4. On a large layer a meeting is lost in the noise; the small one shows it. */
const replicas: Taking = {
  takes: ({ name }) => ['4x16x8x8', '8x64x128x128', '32x256x14x14', '16x2048x7x7'].includes(name),
};

/** Of `npm run bench:gpu`, on each platform. */
export const gpuContenders: readonly Contender[] = gpuPlatforms.flatMap((platform) =>
  [
    contender('syncbn', 'syncbn', 'syncbn', 'stable', ALL),
    contender('moments', 'moments\nalone', 'syncbn', 'moments', ['forward']),
    contender('jax-js', 'jax-js', 'jax_js', 'jit', UNSPLIT),
    contender('tfjs', 'tfjs\nNHWC', 'tfjs', 'nhwc', UNSPLIT, { takes: takesUpTo(1e7) }),
    contender('copy', 'copy', 'copy', 'copy', ALL),
    contender('synchronized', '2 devices', 'replicas', 'synchronized', ALL, replicas),
    contender('apart', '2 apart', 'replicas', 'apart', ALL, { ...replicas, isUnchecked: true }),
    contender('round-trip', 'mapAsync', 'replicas', 'round-trip', ['forward'], { ...replicas, isUnchecked: true }),
  ].map((one) => ({ ...one, name: `${platform}/${one.name}`, engine: `${platform}/${one.engine}` })),
);
