/**
 * The backend `nats`: ranks on several machines, in Node and in browsers, that reach one NATS server; the entry `syncbn/distributed/nats`. Needs
 * no more of the server than publishing and subscribing.
 *
 * Subjects begin with `syncbn.JOB`: `join` for the rendezvous, `inbox` for answers, and below a name that rank 0 draws anew for each run `all`,
 * `to.RANK` and `ping.RANK`. The server itself tells when nobody listens to a subject: so a rank whose connection is gone is found out at once.
 */

import type { ConnectionOptions, Msg, NatsConnection, RequestError } from '@nats-io/nats-core';
import {
  type Backend,
  type Liveness,
  type Outage,
  type Rendezvous,
  RendezvousError,
  type Transport,
} from '../distributed.ts';
import { importFromPlatform, isNode } from '../platform_modules.ts';

/** How a rank shows the server who it is. */
export type NatsCredentials =
  | { readonly user: string; readonly pass: string }
  | { readonly token: string }
  /** The seed of an nkey, `SU…`. */
  | { readonly nkey: string }
  /** The text of a `.creds` file, with a JWT. */
  | { readonly creds: string };

export interface NatsOptions {
  /** Addresses: `nats://` or `tls://` in Node, `ws://` or `wss://` in browsers. */
  readonly servers: string | readonly string[];
  readonly credentials?: NatsCredentials;
  /** Options for TLS in Node, as `@nats-io/transport-node` takes them; `{}` asks for it. */
  readonly tls?: ConnectionOptions['tls'];
}

/** The parts of the packages `@nats-io/transport-node` and `@nats-io/nats-core` that are used. */
interface NatsPackage {
  connect?(options: ConnectionOptions): Promise<NatsConnection>;
  wsconnect(options: ConnectionOptions): Promise<NatsConnection>;
  usernamePasswordAuthenticator(user: string, pass: string): ConnectionOptions['authenticator'];
  tokenAuthenticator(token: string): ConnectionOptions['authenticator'];
  nkeyAuthenticator(seed: Uint8Array): ConnectionOptions['authenticator'];
  credsAuthenticator(creds: Uint8Array): ConnectionOptions['authenticator'];
}

/** Longer frames are cut, so that others come in between. */
const MAX_FRAME = 2 ** 20;
/** How often a connection that is lost is tried again, and rank 0 is looked for. */
const RETRY_MS = 100;
const PING_TIMEOUT_MS = 1000;
/** For so long after a connection was made anew, ranks that are not there may be on their way, too. */
const RECONNECT_MS = 5000;

/**
 * Ranks that meet at a NATS server. Install `@nats-io/transport-node` in Node, `@nats-io/nats-core` in browsers.
 *
 * @example
 * ```ts
 * const backend = nats({ servers: 'nats://broker.example', credentials: { user: 'digits', pass } });
 * const group = await initProcessGroup({ backend, job: 'digits-7', rank, worldSize: 4 });
 * ```
 */
export function nats(options: NatsOptions): Backend {
  return { connect: (place) => join(options, place) };
}

async function join(options: NatsOptions, place: Rendezvous): Promise<Transport> {
  const { job, rank, worldSize, timeout } = place;
  const until = performance.now() + timeout * 1000;
  const connection = await connectTo(options, place);
  try {
    const base = `syncbn.${job}`;
    const session = await (rank === 0 ? gather(connection, base, place, until) : ask(connection, base, place, until));
    return await transportOf(connection, `${base}.${session}`, { rank, size: worldSize, job: `${job} ${session}` });
  } catch (error) {
    await connection.close();
    throw error;
  }
}

async function connectTo(options: NatsOptions, { job }: Rendezvous): Promise<NatsConnection> {
  const servers = typeof options.servers === 'string' ? [options.servers] : [...options.servers];
  const isWeb = servers.every((server) => /^wss?:/.test(server));
  if (isNode() ? isWeb && !('WebSocket' in globalThis) : !isWeb) {
    throw new RendezvousError(
      job,
      isNode()
        ? `expected servers of nats:// or tls:// in this version of Node, which has no WebSocket, got ${servers.join(', ')}`
        : `expected servers of ws:// or wss:// in a browser, got ${servers.join(', ')}`,
    );
  }
  const library = await load(job);
  const { credentials, tls } = options;
  const authenticator = credentials && authenticatorOf(library, credentials);
  const settings: ConnectionOptions = {
    servers,
    noEcho: true,
    // So that a server can keep the users of one job out of all others.
    inboxPrefix: `syncbn.${job}.inbox`,
    maxReconnectAttempts: -1,
    reconnectTimeWait: RETRY_MS,
    reconnectJitter: RETRY_MS / 2,
    ...(authenticator === undefined ? {} : { authenticator }),
    ...(tls === undefined ? {} : { tls }),
  };
  try {
    return await (isWeb || library.connect === undefined ? library.wsconnect(settings) : library.connect(settings));
  } catch (cause) {
    const text = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
    throw new RendezvousError(
      job,
      `the server ${servers.join(', ')} does not take this rank: ${text}; check the address, and credentials and tls`,
      { cause },
    );
  }
}

async function load(job: string): Promise<NatsPackage> {
  try {
    if (!isNode()) {
      return await import('@nats-io/nats-core');
    }
    return (await importFromPlatform('@nats-io/transport-node')) as NatsPackage;
  } catch (cause) {
    throw new RendezvousError(
      job,
      `expected the package ${isNode() ? '@nats-io/transport-node' : '@nats-io/nats-core'}; install it`,
      {
        cause,
      },
    );
  }
}

function authenticatorOf(library: NatsPackage, credentials: NatsCredentials): ConnectionOptions['authenticator'] {
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  if ('user' in credentials) {
    return library.usernamePasswordAuthenticator(credentials.user, credentials.pass);
  }
  if ('token' in credentials) {
    return library.tokenAuthenticator(credentials.token);
  }
  return 'nkey' in credentials
    ? library.nkeyAuthenticator(bytes(credentials.nkey))
    : library.credsAuthenticator(bytes(credentials.creds));
}

/** What a rank says when it comes, and what it is answered. */
interface Coming {
  readonly rank: number;
  readonly worldSize: number;
  /** Which process it is: a rank may have to ask more than once. */
  readonly process: string;
}

type Answer = { readonly session: string } | { readonly refusal: string };

/** Rank 0 waits for all others, and tells late ones from then on that they are. */
async function gather(connection: NatsConnection, base: string, place: Rendezvous, until: number): Promise<string> {
  const { job, worldSize } = place;
  const session = randomName();
  const process = randomName();
  const answers = new Map<number, { readonly process: string; readonly answer: (answer: Answer) => void }>();
  let isComplete = worldSize === 1;
  await new Promise<void>((resolve, reject) => {
    const end = (refusal: string | null): void => {
      clearTimeout(timer);
      answers.forEach(({ answer }) => answer(refusal === null ? { session } : { refusal }));
      if (refusal === null) {
        isComplete = true;
        resolve();
      } else {
        reject(new RendezvousError(job, refusal));
      }
    };
    const timer = setTimeout(
      () => {
        const missing = Array.from({ length: worldSize - 1 }, (_, i) => i + 1).filter((rank) => !answers.has(rank));
        end(`waited ${place.timeout} s for rank ${missing.join(', ')}; start it, or raise timeout`);
      },
      Math.min(until - performance.now(), 2 ** 31 - 1),
    );
    connection.subscribe(`${base}.join`, {
      callback: (error, message) => {
        if (error !== null) {
          end(forbidden(error));
          return;
        }
        const coming = readComing(message);
        if (coming === null) {
          return;
        }
        const answer = (to: Answer): void => void message.respond(JSON.stringify(to));
        const known = answers.get(coming.rank);
        const refusal = refusalOf(coming, worldSize, coming.rank === 0 ? process : (known?.process ?? null));
        if (isComplete) {
          const isOwn = known?.process === coming.process && coming.rank !== 0;
          answer(
            isOwn
              ? { session }
              : {
                  refusal: `the job has begun without this process: its ${worldSize} ranks are there; give another job`,
                },
          );
        } else if (refusal !== null) {
          answer({ refusal });
          end(refusal);
        } else {
          answers.set(coming.rank, { process: coming.process, answer });
          if (answers.size === worldSize - 1) {
            end(null);
          }
        }
      },
    });
    if (worldSize === 1) {
      end(null);
    }
    // Whether there is a rank 0 already: it would be asked by those that come, too.
    const own: Coming = { rank: 0, worldSize, process };
    connection
      .request(`${base}.join`, JSON.stringify(own), { timeout: PING_TIMEOUT_MS })
      .then((message) => {
        const told = readAnswer(message);
        if (told !== null && 'refusal' in told && !isComplete) {
          end(told.refusal);
        }
      })
      .catch(() => undefined);
  });
  return session;
}

/** Why a process cannot have its rank; `null`: it can. */
function refusalOf({ rank, worldSize, process }: Coming, expected: number, taken: string | null): string | null {
  if (worldSize !== expected) {
    return `rank ${rank} expects a worldSize of ${worldSize}, rank 0 of ${expected}; give all ranks the same`;
  }
  if (rank >= expected) {
    return `expected ranks from 0 to ${expected - 1}, got ${rank}`;
  }
  return taken !== null && taken !== process ? `rank ${rank} is taken twice; give each process its own rank` : null;
}

/** All other ranks ask rank 0, which answers when all are there. */
async function ask(connection: NatsConnection, base: string, place: Rendezvous, until: number): Promise<string> {
  const { job, rank, worldSize, timeout } = place;
  const own: Coming = { rank, worldSize, process: randomName() };
  for (;;) {
    const left = until - performance.now();
    if (left <= 0) {
      throw new RendezvousError(
        job,
        `rank ${rank} has waited ${timeout} s for all ranks; start them, or raise timeout`,
      );
    }
    let message: Msg;
    try {
      message = await connection.request(`${base}.join`, JSON.stringify(own), { timeout: Math.min(left, 5000) });
    } catch (error) {
      if (isForbidden(error)) {
        throw new RendezvousError(job, forbidden(error), { cause: error });
      }
      // Rank 0 is not there yet, or waits for others.
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      continue;
    }
    const answer = readAnswer(message);
    if (answer !== null && 'refusal' in answer) {
      throw new RendezvousError(job, answer.refusal);
    }
    if (answer !== null) {
      return answer.session;
    }
  }
}

function readComing(message: Msg): Coming | null {
  const { rank, worldSize, process } = readObject(message);
  const areNumbers = Number.isSafeInteger(rank) && Number.isSafeInteger(worldSize) && Number(rank) >= 0;
  return areNumbers && typeof process === 'string'
    ? { rank: Number(rank), worldSize: Number(worldSize), process }
    : null;
}

function readAnswer(message: Msg): Answer | null {
  const { session, refusal } = readObject(message);
  if (typeof refusal === 'string') {
    return { refusal };
  }
  return typeof session === 'string' && /^\w+$/.test(session) ? { session } : null;
}

/** An object, whatever has come. */
function readObject(message: Msg): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(message.data));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

async function transportOf(
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

function isForbidden(error: unknown): boolean {
  const { name, cause } = (error ?? {}) as { readonly name?: string; readonly cause?: { readonly name?: string } };
  return name === 'PermissionViolationError' || cause?.name === 'PermissionViolationError';
}

function forbidden(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return `the server forbids it: ${text}; allow this user to publish and to subscribe syncbn.JOB.>`;
}

/** Whether the server says that nobody listens to the subject of a request. */
function isNoResponders(error: unknown): boolean {
  return (
    typeof error === 'object' && error !== null && 'isNoResponders' in error && (error as RequestError).isNoResponders()
  );
}

function randomName(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
