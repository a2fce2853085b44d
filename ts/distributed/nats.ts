/**
 * The backend `nats`: ranks on several machines, in Node and in browsers, that reach one NATS server; the entry `syncbn/distributed/nats`. Needs
 * no more of the server than publishing and subscribing.
 *
 * Subjects begin with `syncbn.JOB`: `join` for the rendezvous, `inbox` for answers, and below a name that rank 0 draws anew for each run `all`,
 * `to.RANK` and `ping.RANK`. The server itself tells when nobody listens to a subject: so a rank whose connection is gone is found out at once.
 */

import type { ConnectionOptions, NatsConnection } from '@nats-io/nats-core';
import { type Backend, type Rendezvous, RendezvousError, type Transport } from '../distributed.ts';
import { importFromPlatform, isNode } from '../platform_modules.ts';
import { ask, gather } from './nats_rendezvous.ts';
import { transportOf } from './nats_transport.ts';

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
  /**
   * Options for TLS in Node, as `@nats-io/transport-node` takes them; `{}` asks for it. `servername` is the name that the certificate has, where the address is
   * another, a number for example.
   */
  readonly tls?: ConnectionOptions['tls'] & { readonly servername?: string };
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

/** How often a connection that is lost is tried again. */
const RETRY_MS = 100;

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
