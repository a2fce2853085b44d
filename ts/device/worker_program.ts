/**
 * The program that runs inside a worker. `scripts/build_worker.mjs` bundles it, with all that it imports, to one text that
 * needs no file beside it; `dist/worker.js` is the same text for pages that allow workers from their own address only.
 */

import { importFromPlatform, isNode } from '../platform_modules.ts';
import { CpuDevice } from './cpu_device.ts';
import { CommandExecutor, failureOf } from './worker_executor.ts';
import type { CommandMessage, Reply, WorkerStart } from './worker_protocol.ts';
import { SharedRing } from './worker_ring.ts';

/** The end of the channel that a worker finds in itself, as far as it is used here. */
interface OwnPort {
  postMessage(message: unknown, transfer: Transferable[]): void;
}
interface WebPort extends OwnPort {
  onmessage: ((event: { readonly data: unknown }) => void) | null;
}
interface NodePort extends OwnPort {
  on(event: 'message', listen: (data: unknown) => void): void;
}

void openPort();

async function openPort(): Promise<void> {
  if (!isNode()) {
    const port = globalThis as unknown as WebPort;
    const receive = serve(port);
    port.onmessage = ({ data }) => receive(data);
  } else {
    const { parentPort } = (await importFromPlatform('node:worker_threads')) as { readonly parentPort: NodePort };
    parentPort.on('message', serve(parentPort));
  }
}

/** Takes the start first, commands after it; each message is run when the one before it has been. */
function serve(port: OwnPort): (data: unknown) => void {
  let executor: CommandExecutor | null = null;
  let ring: SharedRing | null = null;

  const run = async (message: CommandMessage, executor: CommandExecutor): Promise<void> => {
    const reply = await executor.run(message);
    if (reply.answers.length > 0 || reply.lost !== undefined) {
      port.postMessage(reply, transferable(reply));
    }
  };
  /** Runs what lies in the ring, and sleeps, until a message has been posted. */
  const runShared = async (executor: CommandExecutor): Promise<void> => {
    while (ring !== null) {
      ring.waitForMore();
      const message = ring.take();
      if (message === null) {
        return;
      }
      await run(message, executor);
    }
  };
  const receive = async (data: unknown): Promise<void> => {
    if (executor === null) {
      const { name, module, shared, cores } = data as WorkerStart;
      const own = shared && new SharedRing(shared);
      // The calling thread needs one too while it computes.
      const isCoreFree = (members: number): boolean => members + (own?.isCallerBusy === true ? 1 : 0) <= cores;
      executor = await open(name, module, (reply) => port.postMessage(reply, []), isCoreFree);
      ring = own;
      port.postMessage(executor.usage(), []);
    } else {
      ring?.skip();
      await run(data as CommandMessage, executor);
    }
    await runShared(executor);
  };

  let last = Promise.resolve();
  return (data) => {
    last = last
      .then(() => receive(data))
      .catch((error: unknown) => {
        const lost = { operation: 'ready' as const, shapes: '', failure: failureOf(error) };
        port.postMessage({ answers: [], bytesPooled: 0, bytesReserved: 0, lost } satisfies Reply, []);
      });
  };
}

async function open(
  name: string,
  module: WebAssembly.Module,
  ...rest: [tell: (reply: Reply) => void, isCoreFree: (members: number) => boolean]
): Promise<CommandExecutor> {
  const device = new CpuDevice(name, () => Promise.resolve(module));
  await device.ready();
  return new CommandExecutor(device, ...rest);
}

function transferable({ answers }: Reply): Transferable[] {
  return answers.flatMap((answer) => ('value' in answer ? [answer.value.buffer] : []));
}
