/**
 * Opens workers, on each platform in its way, and gives them one face. Brings the text of their program along.
 */

import { importFromPlatform, isNode, nodeModule } from '../platform_modules.ts';
import { coreCount } from './core_count.ts';
import { workerProgram } from './generated/worker_program_text.js';
import type { CommandMessage, Reply, WorkerStart } from './worker_protocol.ts';
import { SharedRing } from './worker_ring.ts';

/** A worker that runs. */
export interface WorkerLink {
  /** Tells who hears of replies, and of the worker's end. */
  listen(onReply: (reply: Reply) => void, onLost: (cause: unknown) => void): void;
  /**
   * @param transfer - memory in the message that is given away.
   * @param isUrgent - whether a worker that sleeps is woken; else it finds the message when it is woken for another one.
   * @param isAwaited - whether its answer is awaited, and nothing else done until {@link WorkerLink.endTick}.
   */
  post(message: CommandMessage, transfer: readonly ArrayBuffer[], isUrgent: boolean, isAwaited: boolean): void;
  /** Says that the calling thread has done what it had to do. */
  endTick(): void;
  /** Keeps the program alive until {@link WorkerLink.rest}. */
  hold(): void;
  rest(): void;
  /** Ends the worker; resolves when it has ended. Idempotent. */
  terminate(): Promise<void>;
}

/** What the platforms' workers have in common, once their differences are smoothed out. */
interface PlatformWorker {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void;
  terminate(): unknown;
  /** Node's. */
  ref?(): void;
  unref?(): void;
}

interface Listeners {
  onMessage: (data: Reply) => void;
  onEnd: (cause: unknown) => void;
}

type StartWorker = (listeners: Listeners) => PlatformWorker;

/**
 * Opens a worker and waits until it can take commands.
 * @param url - where the worker's program lies; `null`: it is brought along.
 * @throws what the platform throws when it allows no worker.
 */
export async function openWorker(
  { name, module }: Pick<WorkerStart, 'name' | 'module'>,
  url: string | null,
): Promise<WorkerLink> {
  const ring = SharedRing.create();
  const start = { name, module, shared: ring?.memory ?? null, cores: coreCount() };
  if (isNode()) {
    return link(await nodeStarter(), start, ring);
  }
  if (url !== null) {
    return link((listeners) => startInBrowser(url, listeners), start, ring);
  }
  const blob = URL.createObjectURL(new Blob([workerProgram], { type: 'text/javascript' }));
  try {
    return await link((listeners) => startInBrowser(blob, listeners), start, ring);
  } finally {
    URL.revokeObjectURL(blob);
  }
}

function startInBrowser(url: string, { onMessage, onEnd }: Listeners): PlatformWorker {
  const worker = new Worker(url);
  worker.onmessage = ({ data }: MessageEvent<Reply>) => onMessage(data);
  worker.onmessageerror = () => onEnd(new Error('a message could not be read'));
  worker.onerror = (event) => {
    event.preventDefault();
    onEnd(new Error(event.message || 'the worker could not be started'));
  };
  return worker;
}

/** Deno and Bun have Node's workers too. They can be told not to keep the process alive, unlike those of the web. */
async function nodeStarter(): Promise<StartWorker> {
  interface NodeWorker extends PlatformWorker {
    on(event: 'message', listen: (data: Reply) => void): void;
    on(event: 'error' | 'messageerror', listen: (error: unknown) => void): void;
    on(event: 'exit', listen: (code: number) => void): void;
  }
  interface NodeWorkers {
    readonly Worker: new (program: string, options: { readonly eval: true }) => NodeWorker;
  }
  const name = 'node:worker_threads';
  const { Worker } = (nodeModule(name) ?? (await importFromPlatform(name))) as NodeWorkers;
  return ({ onMessage, onEnd }) => {
    const worker = new Worker(workerProgram, { eval: true });
    worker.on('message', onMessage);
    worker.on('error', onEnd);
    worker.on('messageerror', onEnd);
    worker.on('exit', (code) => onEnd(new Error(`the worker ended with exit code ${code}`)));
    return worker;
  };
}

/** Starts a worker; resolves with its first message. One that cannot take commands is ended. */
function link(startWorker: StartWorker, start: WorkerStart, ring: SharedRing | null): Promise<WorkerLink> {
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown): void => {
      // Nobody knows of it, and Node's process would not end before it does.
      void worker.terminate();
      reject(cause instanceof Error ? cause : new Error(String(cause)));
    };
    const listeners: Listeners = {
      onMessage: ({ lost }) => {
        if (lost !== undefined) {
          fail(new Error(`${lost.failure.name}: ${lost.failure.message}`));
          return;
        }
        worker.unref?.();
        resolve({
          listen(onReply, onLost) {
            listeners.onMessage = onReply;
            listeners.onEnd = onLost;
          },
          post(message, transfer, isUrgent, isAwaited) {
            // Copying what is small takes less than giving it away does.
            const isInRing = ring?.put(message) === true;
            if (!isInRing) {
              worker.postMessage({ words: message.words.slice(), parts: message.parts }, [...transfer]);
            }
            ring?.announce(isAwaited);
            // What is posted wakes, lest more and more lies there.
            if (isUrgent || !isInRing) {
              ring?.wake();
            }
          },
          endTick: () => ring?.rest(),
          hold: () => worker.ref?.(),
          rest: () => worker.unref?.(),
          terminate: async () => {
            await worker.terminate();
          },
        });
      },
      onEnd: fail,
    };
    const worker = startWorker({
      onMessage: (data) => listeners.onMessage(data),
      onEnd: (cause) => listeners.onEnd(cause),
    });
    worker.postMessage(start, []);
  });
}
