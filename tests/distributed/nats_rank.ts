/** The program of the processes that `nats.test.ts` starts, each a rank. Tells on its output how it goes, a line of JSON each time. */

import { BatchNorm1d, convertModel, Sequential, tensor } from 'syncbn';
import { DistributedDataParallel, initProcessGroup } from 'syncbn/distributed';
import { nats, type NatsCredentials } from 'syncbn/distributed/nats';

export interface NatsTask {
  readonly port: number;
  readonly job: string;
  readonly rank: number;
  readonly worldSize: number;
  readonly timeout: number;
  readonly credentials?: NatsCredentials;
  readonly kind: 'train' | 'wait' | 'throw' | 'mismatch' | 'large';
  readonly steps?: number;
}

const task = JSON.parse(process.argv[2] ?? '{}') as NatsTask;

function tell(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function run(): Promise<unknown> {
  const { port, credentials, kind, steps = 0, ...place } = task;
  const backend = nats({ servers: `nats://127.0.0.1:${port}`, ...(credentials === undefined ? {} : { credentials }) });
  const group = await initProcessGroup({ backend, ...place });
  tell({ begun: true });
  try {
    switch (kind) {
      case 'train': {
        const net = convertModel(new Sequential(new BatchNorm1d(3)), { processGroup: group });
        const model = new DistributedDataParallel(net, { processGroup: group, reduction: 'sum' });
        for (let step = 0; step < steps; step++) {
          const values = shard(step, group.rank);
          const x = tensor(values, [values.length / 12, 3, 4]);
          const y = await model.forward(x);
          await y.backward(tensor(values.map(Math.sin), x.shape));
          [x, y].forEach((each) => each.dispose());
          tell({ step });
        }
        const values = await Promise.all(
          [...net.parameters(), ...net.buffers()].map((each) => each.grad?.data() ?? each.data()),
        );
        return values.map((each) => [...each]);
      }
      case 'large': {
        const values = new Float32Array(1_000_000).fill(group.rank + 0.5);
        const sum = await group.allReduce(values);
        return [sum[0], sum.at(-1), group.frames.sent];
      }
      case 'wait':
        // The last one is killed meanwhile.
        if (group.rank === group.size - 1) await new Promise((resolve) => setTimeout(resolve, 60_000));
        await group.barrier({ tag: 'for ever' });
        return null;
      case 'throw':
        if (group.rank === 1) throw new RangeError('no more data');
        await group.barrier({ tag: 'for ever' });
        return null;
      case 'mismatch':
        return await group.allReduce(new Float32Array(2 + group.rank));
    }
  } catch (error) {
    group.abort(error);
    throw error;
  } finally {
    await group.destroy();
  }
}

/** What a rank has in a step: two ranks have five and four samples. */
function shard(step: number, rank: number): Float32Array {
  const all = Float32Array.from({ length: 9 * 12 }, (_, i) => Math.fround(Math.sin(step * 997 + i * i)));
  return rank === 0 ? all.slice(0, 60) : all.slice(60);
}

try {
  tell({ result: await run() });
} catch (error) {
  const { name, message } = error as Error;
  tell({ error: { name, message }, at: Date.now() });
}
