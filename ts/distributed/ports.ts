/** Ranks in threads of one program, which send frames to each other through `MessagePort`s, each pair by one. */

import type { Liveness, Transport } from './transport.ts';

/** Longer frames are cut, so that a thread can take other messages in between. */
const MAX_FRAME = 2 ** 20 + 2 ** 14;

/** A port, and what Node's have besides. */
type Port = MessagePort & { ref?(): void; unref?(): void };

/** Of a transport by message ports. */
export interface PortsOptions {
  /** The number of this thread, from 0. */
  readonly rank: number;
  /** Names the job, the same in all threads. */
  readonly job: string;
  /** Of each rank, the port to it; `null` in the place of this one. */
  readonly ports: readonly (MessagePort | null)[];
}

/** Sends frames through ports that somebody has brought to the threads; {@link spawn} does. */
export function portsTransport({ rank, job, ports }: PortsOptions): Transport {
  const closed = new Set<number>();
  const others = [...ports.entries()].filter((entry): entry is [number, Port] => entry[1] !== null);
  // A port to a thread that has ended says so, in Node and in some browsers; elsewhere whoever has made the threads knows.
  others.forEach(([other, port]) => port.addEventListener('close', () => closed.add(other)));
  return {
    rank,
    size: ports.length,
    job,
    maxFrame: MAX_FRAME,
    publish: (frame) => others.forEach(([, port]) => port.postMessage(frame)),
    send: (to, frame) => ports[to]?.postMessage(frame),
    onFrame: (receive) => {
      for (const [, port] of others) {
        port.onmessage = ({ data }: MessageEvent<unknown>) => {
          if (data instanceof Uint8Array) {
            receive(data);
          }
        };
        port.unref?.();
      }
    },
    alive: (other): Promise<Liveness> => Promise.resolve(closed.has(other) ? 'gone' : 'here'),
    hold: (isHeld) => others.forEach(([, port]) => (isHeld ? port.ref?.() : port.unref?.())),
    close: () => {
      others.forEach(([, port]) => port.close());
      return Promise.resolve();
    },
  };
}

/** The ports of so many ranks: those of each, in order of ranks, with `null` in its own place. */
export function connectedPorts(size: number): (MessagePort | null)[][] {
  const all = Array.from({ length: size }, () => Array.from({ length: size }, (): MessagePort | null => null));
  for (const [a, portsOfA] of all.entries()) {
    for (const [b, portsOfB] of all.entries()) {
      if (a < b) {
        const { port1, port2 } = new MessageChannel();
        portsOfA[b] = port1;
        portsOfB[a] = port2;
      }
    }
  }
  return all;
}
