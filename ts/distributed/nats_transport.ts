/** Frames over a NATS server, and what is known of the connection and of the ranks at the other ends. */

import type { Msg, NatsConnection, RequestError } from '@nats-io/nats-core';
import { type Liveness, type Outage, RendezvousError, type Transport } from '../distributed.ts';
import { forbidden } from './nats_permissions.ts';

/** Longer frames are cut, so that others come in between. */
const MAX_FRAME = 2 ** 20;
const PING_TIMEOUT_MS = 1000;
/** For so long after a connection was made anew, ranks that are not there may be on their way, too. */
const RECONNECT_MS = 5000;

/**
 * @param base - what subjects begin with.
 * @throws RendezvousError where the server does not allow them.
 */
export async function transportOf(
  connection: NatsConnection,
  base: string,
  place: Pick<Transport, 'rank' | 'size' | 'job'>,
): Promise<Transport> {
  const { rank } = place;
  const early: Uint8Array[] = [];
  const refusals: Error[] = [];
  let receive: ((frame: Uint8Array) => void) | null = null;
  const callback = (error: Error | null, message: Msg): void => {
    if (error !== null) {
      refusals.push(error);
    } else if (receive === null) {
      early.push(message.data);
    } else {
      try {
        receive(message.data);
      } catch (defect) {
        // The package would log it, read no more and leave all ranks waiting.
        queueMicrotask(() => {
          throw defect;
        });
      }
    }
  };
  connection.subscribe(`${base}.all`, { callback });
  connection.subscribe(`${base}.to.${rank}`, { callback });
  connection.subscribe(`${base}.ping.${rank}`, {
    callback: (error, message) => {
      if (error === null) {
        message.respond();
      } else {
        refusals.push(error);
      }
    },
  });
  await connection.flush();
  const [refusal] = refusals;
  if (refusal !== undefined) {
    throw new RendezvousError(place.job, forbidden(refusal), { cause: refusal });
  }
  const link = watch(connection);
  const publish = (subject: string, frame: Uint8Array): void => {
    // What is not sent is asked for when the connection is there again; one that has ended for good is told by the time-outs.
    if (!connection.isClosed()) {
      connection.publish(subject, frame);
    }
  };
  return {
    ...place,
    // The package puts what is published in a tick together at its end.
    copiesFrames: 'soon',
    maxFrame: Math.min(connection.info?.max_payload ?? MAX_FRAME, MAX_FRAME),
    publish: (frame) => publish(`${base}.all`, frame),
    send: (to, frame) => publish(`${base}.to.${to}`, frame),
    onFrame: (listen) => {
      receive = listen;
      early.splice(0).forEach(listen);
    },
    alive: async (other): Promise<Liveness> => {
      try {
        await connection.request(`${base}.ping.${other}`, undefined, { timeout: PING_TIMEOUT_MS });
        return 'here';
      } catch (error) {
        const isSettled = link.lostSince === null && performance.now() - link.backSince > RECONNECT_MS;
        return isNoResponders(error) && isSettled ? 'gone' : 'silent';
      }
    },
    outage: () => outageOf(connection, link),
    close: async () => {
      if (!connection.isClosed()) {
        const late = new Promise((resolve) => setTimeout(resolve, PING_TIMEOUT_MS));
        await Promise.race([connection.flush().catch(() => undefined), late]);
        await connection.close();
      }
    },
  };
}

/** How a connection stands. */
interface Link {
  /** Since when there is none; `null`: there is one. */
  lostSince: number | null;
  /** When it was made anew for the last time. */
  backSince: number;
  /** What the server has said of it last. */
  lastError: string | null;
}

function watch(connection: NatsConnection): Readonly<Link> {
  const link: Link = { lostSince: null, backSince: Number.NEGATIVE_INFINITY, lastError: null };
  void (async () => {
    for await (const status of connection.status()) {
      if (status.type === 'disconnect') {
        link.lostSince ??= performance.now();
      } else if (status.type === 'reconnect') {
        link.lostSince = null;
        link.backSince = performance.now();
      } else if (status.type === 'error') {
        link.lastError = status.error.message;
      }
    }
  })();
  void connection.closed().then((error) => {
    link.lostSince ??= performance.now();
    link.lastError = error?.message ?? link.lastError;
  });
  return link;
}

function outageOf(connection: NatsConnection, { lostSince, lastError }: Readonly<Link>): Outage | null {
  const isFinal = connection.isClosed();
  if (lostSince === null && !isFinal) {
    return null;
  }
  const seconds = ((performance.now() - (lostSince ?? performance.now())) / 1000).toFixed(1);
  const said = lastError === null ? '' : ` (${lastError})`;
  const reason = isFinal
    ? 'this rank has lost its connection to the server for good'
    : `this rank has had no connection to the server for ${seconds} s`;
  return { reason: `${reason}${said}`, isFinal };
}

/** Whether the server says that nobody listens to the subject of a request. */
function isNoResponders(error: unknown): boolean {
  return (
    typeof error === 'object' && error !== null && 'isNoResponders' in error && (error as RequestError).isNoResponders()
  );
}
