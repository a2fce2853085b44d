/** Arguments that mean nothing: each is refused with its own class of error, and nothing changes. */

import {
  BatchNorm1d,
  DataParallel,
  DeviceMismatchError,
  devices,
  DisposedError,
  functional,
  GraphFreedError,
  PartialError,
  ReplicaError,
  StateDictError,
  tensor,
  type Tensor,
  UnknownDeviceError,
} from 'syncbn';
import { checkOutcome, type ErrorClass, errorOf, failure } from '../outcome.ts';
import type { StepOf } from '../program.ts';
import { elementsOf } from '../shards.ts';
import type { World } from '../world.ts';

/** What an attempt may use; `keep` has its tensors disposed afterwards. */
interface Stage {
  readonly world: World;
  readonly device: string;
  readonly keep: (item: Tensor) => Tensor;
}

interface Refusal {
  readonly what: string;
  readonly attempt: (stage: Stage) => unknown;
  readonly classes: readonly ErrorClass[];
  /** Whether it is a layer that refuses: a model without one takes it. */
  readonly byLayer?: true;
}

/** A value of the wrong type, as it comes from JavaScript. */
const wrong = (value: unknown): never => value as never;

const batchOf = ({ world, keep }: Stage, device: string, channels = world.program.channels): Tensor => {
  const shape = world.shapeOf(2, [2, 2, 2], channels);
  return keep(tensor(new Float32Array(elementsOf(shape)), shape, { device }));
};

/** A gradient of the same shape is asked for, another is given. */
const output = async (stage: Stage): Promise<Tensor> => {
  const norm = new BatchNorm1d(2, { device: stage.device });
  const x = stage.keep(tensor([1, 2, 3, 4], [2, 2], { device: stage.device, requiresGrad: true }));
  const y = stage.keep(await norm.forward(x));
  [...norm.parameters(), ...norm.buffers()].forEach((item) => stage.keep(item));
  return y;
};

const refusals: readonly Refusal[] = [
  {
    what: 'one dimension',
    attempt: ({ world, keep }) => world.net.forward(keep(tensor([1, 2], [2]))),
    classes: [RangeError],
    byLayer: true,
  },
  {
    what: 'other channels',
    attempt: (stage) => stage.world.net.forward(batchOf(stage, 'cpu:0', stage.world.program.channels + 1)),
    classes: [RangeError],
    byLayer: true,
  },
  { what: 'no tensor', attempt: ({ world }) => world.net.forward(wrong('x')), classes: [TypeError], byLayer: true },
  {
    what: 'a promise',
    attempt: (stage) => stage.world.net.forward(wrong(Promise.resolve(batchOf(stage, 'cpu:0')))),
    classes: [TypeError],
    byLayer: true,
  },
  {
    what: 'a disposed input',
    attempt: (stage) => {
      const x = batchOf(stage, stage.device);
      x.dispose();
      return stage.world.net.forward(x);
    },
    classes: [DisposedError],
  },
  { what: 'an unknown device', attempt: ({ world }) => world.net.to('cpu:64'), classes: [UnknownDeviceError] },
  {
    what: 'a device twice',
    attempt: ({ world, device }) => new DataParallel(world.net.module, { deviceIds: [device, device] }),
    classes: [RangeError],
  },
  {
    what: 'a wrapper in a wrapper',
    attempt: (stage) => {
      const deviceIds = ['cpu:0', 'cpu:62'];
      const norm = new BatchNorm1d(2);
      [...norm.parameters(), ...norm.buffers()].forEach((item) => stage.keep(item));
      const inner = new DataParallel(norm, { deviceIds });
      return new DataParallel(inner, { deviceIds }).forward(stage.keep(tensor([1, 2, 3, 4], [2, 2])));
    },
    classes: [ReplicaError],
  },
  {
    what: 'no device',
    attempt: ({ world }) => new DataParallel(world.net.module, { deviceIds: [] }),
    classes: [RangeError],
  },
  {
    what: 'a broken dim',
    attempt: ({ world }) => new DataParallel(world.net.module, { dim: 0.5 }),
    classes: [TypeError],
  },
  {
    what: 'a state dict that lacks everything',
    attempt: ({ world }) => world.net.module.loadStateDict({ nothing: 1 }),
    classes: [StateDictError],
  },
  { what: 'a shape that is not the data’s', attempt: () => tensor([1, 2, 3], [2, 2]), classes: [RangeError] },
  { what: 'a negative size', attempt: () => tensor([1, 2], [-1, -2]), classes: [RangeError] },
  { what: 'data that are no numbers', attempt: () => tensor(wrong(['1', '2'])), classes: [TypeError] },
  {
    what: 'one device for a layer, another for its input',
    attempt: async (stage) => {
      const norm = new BatchNorm1d(2, { device: 'cpu:62' });
      [...norm.parameters(), ...norm.buffers()].forEach((item) => stage.keep(item));
      return norm.forward(stage.keep(tensor([1, 2, 3, 4], [2, 2], { device: stage.device })));
    },
    classes: [DeviceMismatchError],
  },
  {
    what: 'a second backward',
    attempt: async (stage) => {
      const y = await output(stage);
      const dy = stage.keep(tensor([1, 2, 3, 4], [2, 2], { device: stage.device }));
      await y.backward(dy);
      return y.backward(dy);
    },
    classes: [GraphFreedError],
  },
  {
    what: 'a gradient of another shape',
    attempt: async (stage) =>
      (await output(stage)).backward(stage.keep(tensor([1, 2, 3, 4], [4, 1], { device: stage.device }))),
    classes: [RangeError],
  },
  { what: 'no gradient', attempt: async (stage) => (await output(stage)).backward(), classes: [RangeError, Error] },
  {
    what: 'a gradient on another device',
    attempt: async (stage) =>
      (await output(stage)).backward(stage.keep(tensor([1, 2, 3, 4], [2, 2], { device: 'cpu:62' }))),
    classes: [RangeError],
  },
  { what: 'eps that is no number', attempt: () => new BatchNorm1d(2, { eps: wrong('1') }), classes: [TypeError] },
  {
    what: 'momentum that is NaN',
    attempt: () => new BatchNorm1d(2, { momentum: Number.NaN }),
    classes: [RangeError, TypeError],
  },
  { what: 'no channels', attempt: () => new BatchNorm1d(0), classes: [RangeError] },
  {
    what: 'bytes that are no partial',
    attempt: ({ device }) => functional.mergeMoments([new Uint8Array(7)], device),
    classes: [PartialError],
  },
  {
    what: 'a grad of another shape',
    attempt: (stage) => {
      const x = stage.keep(tensor([1, 2], [2], { device: stage.device, requiresGrad: true }));
      x.grad = stage.keep(tensor([1, 2, 3], [3], { device: stage.device }));
    },
    classes: [RangeError],
  },
  {
    what: 'values of another length',
    attempt: (stage) => batchOf(stage, stage.device).copy_(new Float32Array(1)),
    classes: [RangeError],
  },
  { what: 'an unknown device made anew', attempt: () => devices.recreate('cpu:64'), classes: [UnknownDeviceError] },
];

export async function refuse(world: World, step: StepOf<'refuse'>): Promise<void> {
  if (world.lost.size > 0) return;
  const refusal = refusals[step.which % refusals.length];
  if (refusal === undefined || (refusal.byLayer === true && world.norms.length === 0)) return;
  const made: Tensor[] = [];
  const keep = (item: Tensor): Tensor => {
    made.push(item);
    return item;
  };
  world.net.train();
  world.twin.train();
  const { attempt, classes, what } = refusal;
  const error = await errorOf(() => attempt({ world, device: world.nameAt(step.device), keep }));
  made.forEach((item) => item.dispose());
  checkOutcome(what, error, failure(...classes));
}
