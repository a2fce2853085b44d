import { convertModel, DataParallelWithCallBack, tensor, type DeviceKind, type Module, type Tensor } from 'syncbn';
import { describe, it } from 'vitest';
import { deviceKinds, deviceNames } from '../support/device_kinds.ts';
import { againstExact, expectWithin } from '../support/tolerances.ts';
import { runsWhole } from './cases_by_place.ts';
import { arrayOf, readJson, readValues, type Spec, type StoredArray } from './golden_data.ts';
import { BatchNormNet } from './network_modules.ts';

/** Values of PyTorch's f64 run rounded to f32, and the distance of its f32 run. */
interface Expected {
  readonly values: StoredArray;
  readonly error: number;
}

interface GoldenNetwork {
  readonly batch: number;
  readonly learning_rate: number;
  readonly initial: Readonly<Record<string, Spec>>;
  readonly steps: readonly {
    readonly x: Spec;
    readonly target: Spec;
    /** `gradients` by parameter; `state` after the step, by its name in the state dict. */
    readonly expected: Readonly<Record<'gradients' | 'state', Readonly<Record<string, Expected>>>>;
  }[];
}

const values = readValues('network');
const { networks } = readJson('network') as { networks: readonly [GoldenNetwork] };
const [golden] = networks;

describe.each(deviceKinds)('on %s', (kind) => {
  it.each(runsWhole(kind) ? [1, 2, 4, 16] : [4])(
    'a network on %d devices has the parameters of PyTorch after every step',
    async (world) => {
      const devices = deviceNames(kind, world);
      const net = convertModel(new BatchNormNet());
      await net.to(devices[0] ?? '');
      const initial = Object.entries(golden.initial).map(
        ([name, spec]) => [name, filledLike(net, name, spec)] as const,
      );
      await net.loadStateDict(Object.fromEntries(initial), { strict: false });
      const wrapped = new DataParallelWithCallBack(net, { deviceIds: devices });
      for (const [i, step] of golden.steps.entries()) {
        const x = tensor(arrayOf(step.x, golden.batch * 2), [golden.batch, 2], { device: devices[0] ?? '' });
        const target = arrayOf(step.target, golden.batch * 4);
        net.zeroGrad();
        await backwardOfMeanSquaredError(await wrapped.forward(x), target);
        await expectAll(kind, `step ${i}, gradient of`, gradientsOf(net), step.expected.gradients);
        await descend(net);
        await expectAll(kind, `step ${i}`, net.stateDict(), step.expected.state);
      }
    },
  );
});

/** What the parameter `name` begins with. */
function filledLike(net: Module, name: string, spec: Spec): Tensor {
  const parameter = new Map(net.namedParameters()).get(name);
  if (parameter === undefined) throw new Error(`the network has no parameter ${name}`);
  const count = parameter.shape.reduce((product, size) => product * size, 1);
  return tensor(arrayOf(spec, count), parameter.shape);
}

/** Backward of Σ(y − target)² / count. */
async function backwardOfMeanSquaredError(y: Tensor, target: Float32Array): Promise<void> {
  const output = await y.data();
  const dy = output.map((value, i) => (2 * (value - (target[i] ?? Number.NaN))) / output.length);
  await y.backward(tensor(dy, y.shape, { device: y.device }));
}

function gradientsOf(net: Module): Record<string, Tensor> {
  return Object.fromEntries([...net.namedParameters()].flatMap(([name, { grad }]) => (grad ? [[name, grad]] : [])));
}

async function descend(net: Module): Promise<void> {
  for (const parameter of net.parameters()) {
    const gradient = (await parameter.grad?.data()) ?? new Float32Array();
    const moved = (await parameter.data()).map((value, i) => {
      return value - golden.learning_rate * (gradient[i] ?? Number.NaN);
    });
    await parameter.copy_(moved);
  }
}

async function expectAll(
  kind: DeviceKind,
  label: string,
  actual: Record<string, Tensor | number>,
  expected: Readonly<Record<string, Expected>>,
): Promise<void> {
  for (const [name, { values: stored, error }] of Object.entries(expected)) {
    const found = actual[name];
    if (found === undefined || typeof found === 'number') throw new Error(`${label} ${name} is missing`);
    const [all, wanted] = values.storedElements(await found.data(), stored, name);
    expectWithin(againstExact(kind), 'gradient', all, wanted, `${label} ${name}`, { pytorchError: error });
  }
}
