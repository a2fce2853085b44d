/**
 * Ranks in threads of one program. Each pair has a `MessagePort`, which carries frames where the threads share no memory, and those that have no
 * room there.
 */

import { atEndOfTick } from '../end_of_tick.ts';
import { SharedInbox } from './shared_inbox.ts';
import type { Liveness, Transport } from './transport.ts';

/** Longer frames are cut, so that a thread can take other messages in between. */
const MAX_FRAME = 2 ** 20 + 2 ** 14;

const LONG_BYTES = 2 ** 15;

/** How long a thread that waits looks into its inbox before it gives itself away: a few times what waking up takes. */
const SPIN_MS = 0.06;
/** Where that was in vain so often, as with more ranks than cores, it is tried again only after so many waits. */
const FEW_SPINS = 4;
const VAIN_SPINS = 64;
/** No longer than this does it go on without a turn of its event loop, for the sake of timers and other messages. */
const LONGEST_TURN_MS = 50;

/** A port, and what Node's have besides. */
type Port = MessagePort & { ref?(): void; unref?(): void };

/** Of the thread that has it. */
export interface PortsPlace {
  readonly rank: number;
  readonly job: string;
  readonly ports: readonly (MessagePort | null)[];
  readonly memory: SharedArrayBuffer | null;
}

/** Sends frames to the threads that somebody has brought the other ends of the ports to. */
export function portsTransport({ rank, job, ports, memory }: PortsPlace): Transport {
  const closed = new Set<number>();
  const others = [...ports.entries()].filter((entry): entry is [number, Port] => entry[1] !== null);
  // A port to a thread that has ended says so, in Node and in some browsers; elsewhere whoever has made the threads knows.
  others.forEach(([other, port]) => port.addEventListener('close', () => closed.add(other)));
  const shared = memory === null ? null : new SharedFrames(memory, ports, rank);
  const send = (to: number, port: Port | null | undefined, frame: Uint8Array): void => {
    if (shared?.send(to, frame) !== true) {
      // The whole buffer would travel. A long one is given away, a short one is copied sooner.
      const own = frame.slice();
      port?.postMessage(own, own.length > LONG_BYTES ? [own.buffer] : []);
    }
  };
  return {
    rank,
    size: ports.length,
    job,
    maxFrame: MAX_FRAME,
    copiesFrames: 'at once',
    publish: (frame) => others.forEach(([to, port]) => send(to, port, frame)),
    send: (to, frame) => send(to, ports[to], frame),
    onFrame: (receive) => {
      for (const [, port] of others) {
        port.onmessage = ({ data }: MessageEvent<unknown>) => {
          if (ArrayBuffer.isView(data)) {
            receive(data as Uint8Array);
          } else {
            shared?.wake();
          }
        };
        port.unref?.();
      }
      shared?.listen(receive);
    },
    alive: (other): Promise<Liveness> => Promise.resolve(closed.has(other) ? 'gone' : 'here'),
    hold: (isHeld) => others.forEach(([, port]) => (isHeld ? port.ref?.() : port.unref?.())),
    ...(shared === null ? {} : { poll: (isDone: () => boolean) => shared.poll(isDone) }),
    close: () => {
      shared?.close();
      others.forEach(([, port]) => port.close());
      return Promise.resolve();
    },
  };
}

/** The way through shared memory. */
class SharedFrames {
  readonly #rank: number;
  readonly #ports: readonly (MessagePort | null)[];
  readonly #inboxes: readonly SharedInbox[];
  readonly #own: SharedInbox;
  #receive: ((frame: Uint8Array) => void) | null = null;
  /** When the turn of the event loop has begun in which this thread is awake; `null`: it sleeps. */
  #turn: number | null = null;
  /** How often in a row it has looked in vain. */
  #vain = 0;

  constructor(memory: SharedArrayBuffer, ports: readonly (MessagePort | null)[], rank: number) {
    this.#rank = rank;
    this.#ports = ports;
    this.#inboxes = ports.map((_, owner) => new SharedInbox(memory, ports.length, owner));
    this.#own = new SharedInbox(memory, ports.length, rank);
  }

  listen(receive: (frame: Uint8Array) => void): void {
    this.#receive = receive;
    this.#stayAwake();
  }

  /** @returns whether the frame had room. */
  send(to: number, frame: Uint8Array): boolean {
    const inbox = this.#inboxes[to];
    if (inbox?.write(this.#rank, frame) !== true) {
      return false;
    }
    if (inbox.mustWake()) {
      this.#ports[to]?.postMessage(null);
    }
    return true;
  }

  /** Another thread has written something. */
  wake(): void {
    this.#drain();
    this.#stayAwake();
  }

  /** Looks for frames until `isDone`, for a moment. */
  poll(isDone: () => boolean): void {
    this.#stayAwake();
    const start = performance.now();
    if (this.#turn === null || start - this.#turn > LONGEST_TURN_MS) {
      return;
    }
    const until = start + (this.#vain % VAIN_SPINS < FEW_SPINS ? SPIN_MS : 0);
    do {
      if (this.#drain() > 0 && isDone()) {
        this.#vain >>= 1;
        return;
      }
    } while (performance.now() < until);
    this.#vain += 1;
  }

  close(): void {
    this.#receive = null;
  }

  #drain(): number {
    const receive = this.#receive;
    return receive === null ? 0 : this.#own.drain(receive);
  }

  /** Until the next turn of the event loop, nobody has to wake this thread up. */
  #stayAwake(): void {
    if (this.#turn === null && this.#receive !== null) {
      this.#turn = performance.now();
      this.#own.awake();
      atEndOfTick(() => {
        this.#turn = null;
        this.#own.sleep();
        // What came before somebody could see that this thread sleeps.
        this.#drain();
      });
    }
  }
}
