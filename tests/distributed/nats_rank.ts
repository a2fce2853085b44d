/** The program of the processes that tests start, each a rank. Tells on its output how it goes, a line of JSON each time. */

import { BatchNorm1d, convertModel, defineFunction, Module, Parameter, Sequential, tensor, type Tensor } from 'syncbn';
import { type Backend, DistributedDataParallel, initProcessGroup, type ProcessGroup } from 'syncbn/distributed';
import { nats, type NatsCredentials } from 'syncbn/distributed/nats';

export interface NatsTask {
  readonly servers: string;
  readonly job: string;
  readonly rank: number;
  readonly worldSize: number;
  /** How long the ranks wait for each other once they have met, and before that; in seconds. */
  readonly timeout: number;
  readonly rendezvousTimeout?: number;
  readonly credentials?: NatsCredentials;
  readonly kind: 'train' | 'wait' | 'large';
  /** Of `train`. */
  readonly steps?: number;
  /** What one rank does in the middle of a step of `train`, instead of its part. */
  readonly trouble?: { readonly rank: number; readonly step: number; readonly what: Trouble };
  /** How many values `large` adds up. */
  readonly values?: number;
}

export type Trouble = 'throw' | 'skip' | 'leave' | 'channels' | 'parameters' | 'length' | 'busy';

/** When this rank has failed, or was told of it. */
let failedAt: number | undefined;

const task = JSON.parse(process.argv[2] ?? '{}') as NatsTask;

function tell(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function run(): Promise<object> {
  const { servers, credentials, ...place } = task;
  const { job, rank, worldSize, timeout, rendezvousTimeout = 60 } = place;
  const broker = nats({ servers, ...(credentials === undefined ? {} : { credentials }) });
  // Processes start as slowly as the machine lets them, whatever the ranks agree upon later.
  const backend: Backend = { connect: (place) => broker.connect({ ...place, timeout: rendezvousTimeout }) };
  const group = await initProcessGroup({ backend, job, rank, worldSize, timeout });
  tell({ begun: true });
  try {
    return { result: await part(group), refused: group.frames.refused };
  } catch (error) {
    failedAt = Date.now();
    group.abort(error);
    throw error;
  } finally {
    await group.destroy();
  }
}

async function part(group: ProcessGroup): Promise<unknown> {
  switch (task.kind) {
    case 'train':
      return train(group);
    case 'large': {
      const values = new Float32Array(task.values ?? 0).fill(group.rank + 0.5);
      const sum = await group.allReduce(values);
      return [sum[0], sum.at(-1), group.frames.sent];
    }
    case 'wait':
      // The last one is killed meanwhile.
      if (group.rank === group.size - 1) await new Promise((resolve) => setTimeout(resolve, 60_000));
      return group.barrier({ tag: 'for ever' });
  }
}

/** Each value times a weight: a layer whose gradient is that of a rank. */
const scaled = defineFunction({
  async forward(context, x: Tensor, weight: Tensor) {
    const [factor = NaN] = await weight.data();
    context.saveForBackward(x, weight);
    return tensor(
      (await x.data()).map((value) => value * factor),
      x.shape,
    );
  },
  async backward(context, dy: Tensor) {
    const [x, weight] = await Promise.all(context.savedTensors.map((each) => each.data()));
    const gradient = await dy.data();
    const dw = gradient.reduce((sum, value, i) => sum + value * (x?.[i] ?? NaN), 0);
    return [
      tensor(
        gradient.map((value) => value * (weight?.[0] ?? NaN)),
        dy.shape,
      ),
      tensor([dw], [1]),
    ];
  },
});

class Scale extends Module {
  weight = new Parameter(tensor([0.5], [1]));

  forward(x: Tensor): Promise<Tensor> {
    return scaled(x, this.weight);
  }
}

async function train(group: ProcessGroup): Promise<unknown> {
  const { steps = 0, trouble } = task;
  const isTroubled = (step: number, what: Trouble): boolean =>
    trouble?.rank === group.rank && trouble.step === step && trouble.what === what;
  const channels = isTroubled(0, 'channels') ? 4 : 3;
  const layers = isTroubled(0, 'parameters') ? [new Scale(), new Scale()] : [new Scale()];
  const net = convertModel(new Sequential(new BatchNorm1d(channels), ...layers), { processGroup: group });
  // Models that differ are found out by the wrapper before the first step, and without it by the layer.
  const model =
    trouble?.what === 'channels' ? net : new DistributedDataParallel(net, { processGroup: group, reduction: 'sum' });
  // As it was before the forward or backward that has failed.
  let before = await stateOf(net);
  try {
    for (let step = 0; step < steps; step++) {
      if (isTroubled(step, 'throw')) throw new RangeError('no more data');
      if (isTroubled(step, 'leave')) return null;
      if (isTroubled(step, 'skip')) await group.barrier();
      if (isTroubled(step, 'length')) await group.allReduce(new Float32Array(2));
      if (trouble?.what === 'length' && trouble.step === step) await group.allReduce(new Float32Array(3));
      if (isTroubled(step, 'busy')) for (const end = performance.now() + 2500; performance.now() < end;);
      const values = shard(step, group);
      const x = tensor(values, [values.length / (4 * channels), channels, 4]);
      const y = await model.forward(x);
      before = await stateOf(net);
      await y.backward(tensor(values.map(Math.sin), x.shape));
      [x, y].forEach((each) => each.dispose());
      before = await stateOf(net);
      tell({ step });
    }
  } catch (error) {
    if ((await stateOf(net)) !== before) tell({ state: 'not as before' });
    throw error;
  }
  return before;
}

/** All values of a network as a text, with gradients. */
async function stateOf(net: Module): Promise<string> {
  const tensors = [...net.parameters()].flatMap((each) => [each, ...(each.grad === null ? [] : [each.grad])]);
  const values = await Promise.all([...tensors, ...net.buffers()].map((each) => each.data()));
  return values.map((each) => each.join(' ')).join('; ');
}

/** What a rank has in a step: 9 samples of 12 values are cut among all, the first ranks having more. */
function shard(step: number, { rank, size }: ProcessGroup): Float32Array {
  const all = Float32Array.from({ length: 9 * 12 }, (_, i) => Math.fround(Math.sin(step * 997 + i * i)));
  const start = (at: number): number => 12 * Math.ceil((9 * at) / size);
  return all.slice(start(rank), start(rank + 1));
}

try {
  tell(await run());
} catch (error) {
  const { name, message } = error as Error;
  tell({ error: { name, message }, at: failedAt ?? Date.now() });
}
