/** The NATS server that the ranks meet at. */

import { type NatsServer, startNatsServer } from '../../tests/support/nats_server.ts';
import type { NatsOptions } from './options.ts';

export interface Broker extends AsyncDisposable {
  /** Addresses for Node. */
  readonly servers: readonly string[];
  /** Addresses for pages. */
  readonly webServers: readonly string[];
}

/** Starts one that this machine alone can reach, unless the options name one that is there. */
export async function startBroker({ servers, webServers }: NatsOptions): Promise<Broker> {
  const server: NatsServer | null = servers === null ? await startNatsServer() : null;
  const given = (addresses: string | null, own: string): readonly string[] => addresses?.split(',') ?? [own];
  return {
    servers: given(servers, `nats://127.0.0.1:${server?.port ?? 4222}`),
    webServers: given(webServers, `ws://127.0.0.1:${server?.webSocketPort ?? 9222}`),
    [Symbol.asyncDispose]: async () => server?.stop(),
  };
}
