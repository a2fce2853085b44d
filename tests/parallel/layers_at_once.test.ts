import {
  BatchNorm1d,
  DataParallelWithCallBack,
  devices,
  init,
  Module,
  ModuleList,
  OutOfMemoryError,
  SynchronizedBatchNorm1d,
  tensor,
  type Tensor,
} from 'syncbn';
import { beforeAll, it, vi } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { deviceNames } from '../support/device_kinds.ts';
import { add, scale } from '../support/operations.ts';
import { randomArray } from '../support/random.ts';

const names = deviceNames('cpu', 3);
const shape = [7, 3, 5];

/** Layers that take their time, more or less, get the same input at once; their outputs are summed. */
class AtOnce extends Module {
  readonly layers: ModuleList<BatchNorm1d>;

  constructor(Layer: typeof BatchNorm1d) {
    super();
    const numerics = ['torch', 'stable', 'torch'] as const;
    this.layers = new ModuleList(numerics.map((mode) => new Layer(3, { numerics: mode })));
  }

  async forward(x: Tensor): Promise<Tensor> {
    const [a, b, c] = await Promise.all([...this.layers].map((layer) => layer.forward(x)));
    if (a === undefined || b === undefined || c === undefined) throw new Error('expected three layers');
    return add(await add(a, b), c);
  }
}

/** A layer and other operations use one input; all are called before the layer has met the other replicas. */
class BesideOthers extends Module {
  readonly norm: BatchNorm1d;

  constructor(Layer: typeof BatchNorm1d) {
    super();
    this.norm = new Layer(3);
  }

  async forward(x: Tensor): Promise<Tensor> {
    const [normalized, tenth] = await Promise.all([this.norm.forward(x), scale(x, 0.1)]);
    return add(await add(normalized, x), tenth);
  }
}

beforeAll(() => init(names));

async function inputGradientOf(net: { forward(x: Tensor): Promise<Tensor> }): Promise<Float32Array | undefined> {
  const x = tensor(randomArray(1, 105), shape, { requiresGrad: true });
  const y = await net.forward(x);
  await y.backward(tensor(randomArray(2, 105), shape));
  return x.grad?.data();
}

it.each([
  { what: 'layers_called_at_once', Net: AtOnce },
  { what: 'a_layer_and_operations_called_at_once', Net: BesideOthers },
])('$what sum their gradients as on one device', async ({ Net }) => {
  const net = new DataParallelWithCallBack(new Net(SynchronizedBatchNorm1d), { deviceIds: names });
  expectSameBits((await inputGradientOf(net)) ?? [], (await inputGradientOf(new Net(BatchNorm1d))) ?? []);
});

it('layers_of_which_one_had_to_wait_for_memory_sum_their_gradients_as_ever', async () => {
  const expected = await inputGradientOf(new AtOnce(BatchNorm1d));
  const device = devices.get('cpu:0');
  const net = new AtOnce(BatchNorm1d);
  const x = tensor(randomArray(1, 105), shape, { requiresGrad: true });
  const allocate = vi.spyOn(device, 'allocate').mockImplementationOnce(() => {
    throw new OutOfMemoryError(device.name, 420, 0);
  });
  const y = await net.forward(x);
  allocate.mockRestore();
  await y.backward(tensor(randomArray(2, 105), shape));
  expectSameBits((await x.grad?.data()) ?? [], expected ?? []);
});
