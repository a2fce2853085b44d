/** `npm run bench`: one thread, beside PyTorch, jax-js, TensorFlow.js and the machine itself. */

import type { Pass } from './engine.ts';
import { atLeast, atMost, type Case, type Figure, ratio, secondsOf, strongestOf } from './figures.ts';
import type { Findings } from './measure.ts';
import type { MemoryUse } from './memory.ts';
import type { Options } from './options.ts';
import { chainTable, table, timeCell, timeTables } from './report.ts';
import type { SuiteParts } from './run.ts';
import type { Family, Workload } from './workloads.ts';

interface Extras {
  readonly memory: MemoryUse;
  readonly packageGzipBytes: number;
}

/** The fastest of PyTorch's contenders. */
const PYTORCH = 'pytorch-*';

export function cpuParts(options: Options): SuiteParts<Extras> {
  const { workloads, contenders } = options;
  return {
    measureExtras: async () => ({
      memory: await (await import('./memory.ts')).measureMemory(),
      packageGzipBytes: await (await import('./package_size.ts')).packageGzipBytes(),
    }),
    figures: (found, extras) => [...speedFigures(workloads, found), ...otherFigures(found, extras)],
    report: ({ measurements }, extras) => {
      const layers = workloads.filter(({ family }) => family !== 'chain');
      return [
        timeTables(layers, contenders, measurements),
        options.torchPython === null
          ? 'PyTorch took no part: TORCH_PYTHON names no Python.'
          : pytorchTable(layers, measurements),
        chainTable(workloads, contenders, measurements),
        sizeLines(extras),
      ];
    },
  };
}

/** Which of PyTorch's contenders is the strongest, forward + backward, and how this library compares with it. */
function pytorchTable(workloads: readonly Workload[], measurements: Findings['measurements']): string {
  const rows = workloads.map(({ name }) => {
    const strongest = strongestOf(measurements, name, 'step', PYTORCH);
    const factor = ratio(measurements, name, 'step', PYTORCH, 'syncbn');
    const own = timeCell(strongestOf(measurements, name, 'step', 'syncbn'));
    return [
      name,
      own,
      timeCell(strongest),
      strongest?.contender ?? '-',
      factor === null ? '-' : `${factor.toFixed(2)}×`,
    ];
  });
  const title = 'The strongest PyTorch, forward + backward, milliseconds, and its time over that of syncbn';
  return table(title, ['', 'syncbn', 'PyTorch', '', ''], rows);
}

function sizeLines({ memory, packageGzipBytes: bytes }: Extras): string {
  const kib = (count: number) => `${(count / 1024).toFixed(0)} KiB`;
  return [
    `Memory of a step on ${kib(memory.inputBytes)}, beside x, y, dy, dx: ${kib(memory.overheadBytes)}; in place, beside ` +
      `x, y, dy: ${kib(memory.overheadInPlaceBytes)}; growth over 1,000 steps: ${memory.growthBytes} bytes`,
    `Package in a user's bundle: ${(bytes / 1000).toFixed(1)} KB gzip`,
  ].join('\n');
}

export function speedFigures(
  workloads: readonly Workload[],
  { measurements }: Pick<Findings, 'measurements'>,
): Figure[] {
  /** How many times as fast a contender is as another, on all workloads of some families. */
  const speedups = (
    subject: string,
    against: string,
    families: readonly Family[],
    passes: readonly Pass[],
    isMeant: (workload: Workload) => boolean = () => true,
  ): Case[] =>
    workloads
      .filter((workload) => families.includes(workload.family) && isMeant(workload))
      .flatMap(({ name }) =>
        passes.map((pass) => ({
          label: passes.length > 1 ? `${name} ${pass}` : name,
          value: ratio(measurements, name, pass, against, subject),
        })),
      );
  const single: Family[] = ['contiguous', 'channels_last', 'flat'];
  const isBatch8 = ({ name }: Workload) => name === 'resnet50:8';
  const timesOfAffine = speedups('wasm-affine', 'syncbn', single, ['forward']);
  return [
    atLeast(
      'forward + backward of every row, stable, against the strongest PyTorch',
      1,
      speedups('syncbn', PYTORCH, [...single, 'network'], ['step']),
    ),
    atLeast(
      'ResNet-50 sum, batch 8, forward + backward, stable, against eager PyTorch',
      2.3,
      speedups('syncbn', 'pytorch-eager', ['network'], ['step'], isBatch8),
      3,
    ),
    atLeast(
      'forward of every NCHW shape, stable, against eager PyTorch',
      2.5,
      speedups('syncbn', 'pytorch-eager', ['contiguous'], ['forward']),
    ),
    atLeast('backward of every shape; every channels-last and 2-D shape, either pass, against eager PyTorch', 1, [
      ...speedups('syncbn', 'pytorch-eager', ['contiguous'], ['backward']),
      ...speedups('syncbn', 'pytorch-eager', ['channels_last', 'flat'], ['forward', 'backward']),
    ]),
    atLeast(
      'forward, torch numerics, every NCHW shape, against eager PyTorch',
      1,
      speedups('syncbn-torch', 'pytorch-eager', ['contiguous'], ['forward']),
      1.5,
    ),
    atLeast('forward + backward against jax-js wasm', 10, speedups('syncbn', 'jax-js', single, ['step'])),
    atLeast('forward + backward against tfjs wasm (NHWC)', 50, speedups('syncbn', 'tfjs', single, ['step'])),
    atMost('forward, time over that of a wasm affine copy of the same size', 1.7, '×', timesOfAffine),
    atMost(
      'a small layer in a chain, time on two cpu devices over that on one',
      2.5,
      '×',
      workloads
        .filter(({ name }) => name === 'chain:4x16x8x8')
        .map(({ name }) => ({ label: '', value: ratio(measurements, name, 'step', 'chain-cpu-2', 'chain-cpu-1') })),
    ),
  ];
}

function otherFigures({ measurements }: Findings, { memory, packageGzipBytes: bytes }: Extras): Figure[] {
  const small = secondsOf(measurements, '4x16x8x8', 'step', 'syncbn');
  const mebibytes = (count: number) => count / 2 ** 20;
  return [
    atMost('(4,16,8,8), forward + backward through the public API', 50, 'µs', small === null ? null : small * 1e6),
    atMost('memory of a step beside x, y, dy and dx', 1, 'MiB', mebibytes(memory.overheadBytes)),
    atMost('memory of a step in place beside x, y and dy', 1, 'MiB', mebibytes(memory.overheadInPlaceBytes)),
    atMost('growth of memory over 1,000 steps', 0, 'bytes', memory.growthBytes),
    atMost("package in a user's bundle, gzip", 80, 'KB', bytes / 1000),
  ];
}
