/** Random programs. */

import type { DeviceKind } from 'syncbn';
import { Draws } from './draws.ts';
import type {
  BackwardFault,
  BatchSpec,
  ForwardFault,
  ForwardStep,
  ModuleSpec,
  NormOptions,
  Program,
  Rank,
  Step,
  Values,
} from './program.ts';

/** Devices of a kind that programs choose from. Every GPU device compiles its own pipelines, which takes an emulated one long. */
const devicesOfKind = { cpu: 5, worker: 5, webgpu: 3 };

/** What a program is made of, once its devices are known. */
interface Setting {
  readonly draws: Draws;
  readonly rank: Rank;
  readonly channels: number;
  readonly hasGpus: boolean;
  readonly isMixedWithGpus: boolean;
  /** The most values of a batch. */
  readonly budget: number;
}

/** Program number `index` of a seed. */
export function generateProgram(seed: number, index: number, kinds: readonly DeviceKind[]): Program {
  const draws = new Draws(new Draws(seed).bits() ^ (index * 0x9e3779b9));
  const devices = drawDevices(draws, kinds);
  const gpus = devices.filter((name) => name.startsWith('webgpu:')).length;
  const hasGpus = gpus > 0;
  const isMixedWithGpus = hasGpus && gpus < devices.length;
  const rank = draws.weighted<Rank>([
    [3, 2],
    [4, 3],
    [3, 4],
    [1, 5],
  ]);
  const budget = hasGpus ? 2000 : 12000;
  const setting = { draws, rank, channels: drawChannels(draws, hasGpus), hasGpus, isMixedWithGpus, budget };
  const stages = isMixedWithGpus ? 1 : draws.integer(1, 3);
  return {
    devices,
    output: draws.integer(0, devices.length - 1) * draws.integer(0, 1),
    dim: rank > 2 && draws.onceIn(5) ? draws.pick([2, rank - 1, -1]) : 0,
    rank,
    channels: setting.channels,
    wrapper: draws.weighted([
      [5, 'callback'],
      [1, 'patched'],
      [2, 'converted'],
      [2, 'plain'],
    ]),
    model: Array.from({ length: stages }, () => drawModule(setting, isMixedWithGpus ? 0 : 2)),
    steps: Array.from({ length: draws.integer(1, hasGpus ? 12 : 30) }, () => drawStep(setting)),
  };
}

function drawDevices(draws: Draws, kinds: readonly DeviceKind[]): readonly string[] {
  const namesOf = (kind: DeviceKind): string[] => Array.from({ length: devicesOfKind[kind] }, (_, i) => `${kind}:${i}`);
  const weights = { cpu: 12, worker: 5, webgpu: 1 };
  const mixed = draws.onceIn(8);
  const kind = draws.weighted(kinds.map((one) => [weights[one], one] as const));
  const withGpus = draws.onceIn(4);
  const chosen = mixed ? kinds.filter((one) => one !== 'webgpu' || withGpus) : [kind];
  const pool = draws.shuffled((chosen.length === 0 ? kinds : chosen).flatMap(namesOf));
  const count = draws.weighted([
    [2, 1],
    [6, 2],
    [4, 3],
    [1, 4],
    [1, 5],
  ]);
  return pool.slice(0, count);
}

function drawChannels(draws: Draws, hasGpus: boolean): number {
  if (draws.onceIn(8)) return draws.pick(hasGpus ? [65, 129] : [255, 257, 513, 1001, 1026, 2049]);
  return draws.weighted([
    [2, 1],
    [3, 2],
    [3, 3],
    [2, 5],
    [1, 7],
    [1, 8],
    [1, 17],
    [1, 33],
    [1, 64],
  ]);
}

function drawNorm({ draws, hasGpus }: Setting): NormOptions {
  return {
    eps: draws.pick([1e-5, 1e-5, 1e-3, 1, 3]),
    momentum: draws.pick([0.1, 0.1, null, 0, 1, 0.67]),
    affine: !draws.onceIn(5),
    bias: !draws.onceIn(5),
    trackRunningStats: !draws.onceIn(6),
    numerics: !hasGpus && draws.onceIn(4) ? 'torch' : 'stable',
  };
}

function drawModule(setting: Setting, depth: number): ModuleSpec {
  const { draws } = setting;
  const norm = (): ModuleSpec => ({ kind: 'norm', ...drawNorm(setting) });
  if (depth === 0) return norm();
  const child = (): ModuleSpec => drawModule(setting, depth - 1);
  const kind = draws.weighted([
    [8, 'norm'],
    [2, 'sequence'],
    [1, 'residual'],
    [1, 'branches'],
    [1, 'twice'],
    [1, 'scale'],
  ] as const);
  switch (kind) {
    case 'norm':
      return norm();
    case 'sequence':
      // A module of the user's may keep its input, so `Sequential` frees what stands between layers of the library alone.
      return { kind, children: Array.from({ length: draws.integer(1, 3) }, norm) };
    case 'residual':
    case 'twice':
      return { kind, child: child() };
    case 'branches':
      return { kind, left: child(), right: child(), atOnce: draws.onceIn(2) };
    case 'scale':
      return { kind, factor: draws.pick([0.5, -2, 3]) };
    default:
      return kind satisfies never;
  }
}

function drawBatch({ draws, rank, channels, budget, hasGpus }: Setting): BatchSpec {
  const rest: number[] = [];
  let left = Math.max(Math.floor(budget / channels), 2);
  for (let d = 2; d < rank; d++) {
    const sizes = [1, 1, 2, 3, 4, 5, 7, 8, 13, 16, 31, 33, 64, 100].filter((size) => size <= left);
    const size = draws.onceIn(40) ? 0 : draws.pick(sizes.slice(0, Math.max(draws.integer(2, sizes.length), 1)));
    rest.push(size);
    left = Math.max(Math.floor(left / Math.max(size, 1)), 1);
  }
  const most = Math.min(left, draws.onceIn(6) ? 100 : 20);
  return {
    samples: draws.onceIn(25) ? 0 : draws.integer(1, Math.max(most, 2)),
    rest,
    format: rank > 2 && draws.onceIn(4) ? 'channels_last' : 'contiguous',
    values: hasGpus ? draws.pick<Values>(['normal', 'uniform']) : drawValues(draws),
    seed: draws.integer(0, 9999),
  };
}

function drawValues(draws: Draws): Values {
  return draws.weighted([
    [6, 'normal'],
    [1, 'offset'],
    [1, 'constant'],
    [1, 'uniform'],
    [1, 'mixed'],
    [1, 'huge'],
    [1, 'tiny'],
    [1, 'infinite'],
    [1, 'nan'],
  ]);
}

function drawForwardFault({ draws }: Setting): ForwardFault {
  const replica = draws.integer(0, 4);
  const at = draws.integer(0, 3);
  const how = draws.weighted([
    [3, 'throw'],
    [1, 'throwText'],
    [3, 'starve'],
    [6, 'allocation'],
    [2, 'end'],
    [2, 'skip'],
    [1, 'twice'],
    [2, 'late'],
    [1, 'timeOut'],
    [1, 'never'],
    [1, 'goAlone'],
    [2, 'slow'],
  ] as const);
  switch (how) {
    case 'starve':
      return { how, replica, at, bytes: draws.pick([0, 0, 64, 256, 1024, 8192]) };
    case 'allocation':
      return { how, replica, count: draws.integer(0, 20) };
    case 'skip':
    case 'twice':
    case 'goAlone':
      return { how, replica };
    case 'slow':
      return { how, replica, at, turns: draws.integer(1, 20) };
    case 'throw':
    case 'throwText':
    case 'end':
    case 'late':
    case 'timeOut':
    case 'never':
      return { how, replica, at };
    default:
      return how satisfies never;
  }
}

function drawBackwardFault({ draws }: Setting): BackwardFault {
  const replica = draws.integer(0, 4);
  const how = draws.weighted([
    [2, 'throw'],
    [2, 'allocation'],
    [1, 'starve'],
    [1, 'end'],
  ] as const);
  switch (how) {
    case 'allocation':
      return { how, replica, count: draws.integer(0, 15) };
    case 'starve':
      return { how, replica, bytes: draws.pick([0, 64, 1024]) };
    case 'throw':
    case 'end':
      return { how, replica };
    default:
      return how satisfies never;
  }
}

function drawForward(setting: Setting): ForwardStep {
  const { draws } = setting;
  const training = !draws.onceIn(4);
  return {
    kind: 'forward',
    batch: drawBatch(setting),
    training,
    mode: draws.weighted([
      [6, 'plain'],
      [1, 'noGrad'],
      [2, 'scope'],
    ]),
    requiresGrad: !draws.onceIn(4),
    donate: draws.onceIn(3),
    from: draws.integer(0, 4) * draws.integer(0, 1),
    lengths: draws.onceIn(10) ? Array.from({ length: draws.integer(1, 3) }, () => draws.integer(0, 8)) : [],
    probe: draws.onceIn(6),
    fault: draws.onceIn(4) ? drawForwardFault(setting) : null,
  };
}

function drawStep(setting: Setting): Step {
  const { draws, rank, hasGpus, isMixedWithGpus } = setting;
  const seed = draws.integer(0, 9999);
  const format = rank > 2 && draws.onceIn(4) ? 'channels_last' : 'contiguous';
  const kind = draws.weighted([
    [12, 'forward'],
    [8, 'backward'],
    [2, 'dispose'],
    [2, 'update'],
    [1, 'copy'],
    [1, 'load'],
    [1, 'zeroGrad'],
    [1, 'gradNull'],
    [1, 'gradSet'],
    [1, 'save'],
    [1, 'restore'],
    [1, 'reset'],
    [1, 'freeze'],
    [1, 'convert'],
    [1, 'revert'],
    [1, 'move'],
    [1, 'end'],
    [2, 'recreate'],
    [3, 'refuse'],
    [2, 'steady'],
    [isMixedWithGpus ? 0 : 1, 'concurrent'],
    [hasGpus ? 2 : 0, 'adopt'],
    [1, 'scopes'],
    [1, 'clamp'],
    [4, 'layer'],
    [4, 'functional'],
    [hasGpus ? 0 : 2, 'ranks'],
  ] as const);
  switch (kind) {
    case 'forward':
      return drawForward(setting);
    case 'backward':
      return {
        kind,
        graph: draws.integer(0, 2),
        seed,
        format,
        donate: draws.onceIn(3),
        fault: draws.onceIn(5) ? drawBackwardFault(setting) : null,
      };
    case 'dispose':
      return { kind, graph: draws.integer(0, 2) };
    case 'move':
    case 'end':
    case 'recreate':
      return { kind, device: draws.integer(0, 4) };
    case 'refuse':
      return { kind, which: draws.integer(0, 999), device: draws.integer(0, 4) };
    case 'steady':
      return { kind, pass: drawForward(setting) };
    case 'concurrent':
      return {
        kind,
        models: [drawModule(setting, 1), drawModule(setting, 1)],
        batches: [drawBatch(setting), drawBatch(setting)],
      };
    case 'adopt':
      return {
        kind,
        batch: drawBatch(setting),
        device: draws.integer(0, 4),
        extra: draws.integer(0, 2),
        isDestroyed: draws.onceIn(3),
      };
    case 'scopes':
      return { kind, device: draws.integer(0, 4), isAsync: draws.onceIn(2), depth: draws.integer(1, 3), seed };
    case 'clamp':
      return {
        kind,
        batch: { ...drawBatch(setting), values: 'normal' },
        eps: draws.pick([1e-5, 1e-3, 1, 3]),
        affine: !draws.onceIn(4),
      };
    case 'layer': {
      const channels = drawChannels(draws, hasGpus);
      return {
        kind,
        device: draws.integer(0, 4),
        channels,
        batch: drawBatch({ ...setting, channels }),
        options: drawNorm(setting),
        donate: draws.onceIn(3),
      };
    }
    case 'functional': {
      const channels = drawChannels(draws, hasGpus);
      return {
        kind,
        batch: drawBatch({ ...setting, channels }),
        channels,
        cuts: Array.from({ length: draws.integer(0, 4) }, () => draws.integer(0, 40)),
        places: Array.from({ length: draws.integer(1, 3) }, () => draws.integer(0, 4)),
        numerics: hasGpus || draws.onceIn(2) ? 'stable' : 'torch',
        mergedFirst: draws.integer(0, 4),
        damage: draws.onceIn(3) ? draws.integer(0, 4000) : -1,
      };
    }
    case 'ranks':
      return {
        kind,
        model: Array.from({ length: draws.integer(1, 2) }, () => drawModule(setting, 1)),
        batches: Array.from({ length: draws.integer(1, 3) }, () => drawBatch(setting)),
        cuts: Array.from({ length: draws.integer(1, 3) }, () => draws.integer(0, 40)),
        way: draws.pick(['local', 'local', 'shared memory', 'messages']),
        fault: draws.onceIn(4) ? { rank: draws.integer(0, 3), step: draws.integer(0, 2) } : null,
      };
    case 'update':
    case 'copy':
    case 'load':
    case 'zeroGrad':
    case 'gradNull':
    case 'gradSet':
    case 'save':
    case 'restore':
    case 'reset':
    case 'freeze':
    case 'convert':
    case 'revert':
      return { kind, seed };
    default:
      return kind satisfies never;
  }
}
