/** NATS servers, each a process of its own. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { present } from '../../scripts/setup/nats_server.mjs';
import { ended } from './ended.ts';

export interface NatsServer extends AsyncDisposable {
  /** Of connections of NATS itself, with TLS or without. */
  readonly port: number;
  /** Of WebSockets. */
  readonly webSocketPort: number;
  /** Of its process. */
  readonly pid: number;
  stop(): Promise<void>;
}

export interface NatsServerOptions {
  /** Where to listen; by default a free port. */
  readonly port?: number;
  /** Files that the configuration names as `FOLDER/name`. */
  readonly files?: Readonly<Record<string, string>>;
}

/**
 * Starts a server that listens on this machine alone, for WebSockets too.
 * @param config - text of a configuration file, which may set anything but the addresses, unless it leaves the ports to the server by `-1`.
 */
export async function startNatsServer(
  config = '',
  { port = -1, files = {} }: NatsServerOptions = {},
): Promise<NatsServer> {
  const program = present();
  if (program === null) throw new Error('there is no nats-server: `npm run setup` installs it');
  const folder = mkdtempSync(join(tmpdir(), 'syncbn-nats-'));
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    const file = join(folder, 'server.conf');
    const addresses = [
      /^listen:/m.test(config) ? '' : `listen: "127.0.0.1:${port}"`,
      /^websocket\b/m.test(config) ? '' : 'websocket { listen: "127.0.0.1:-1", no_tls: true }',
      `ports_file_dir: "${folder}"`,
    ];
    writeFileSync(file, `${addresses.join('\n')}\n${config.replaceAll('FOLDER', folder)}`);
    const server = spawn(program, ['-c', file], { stdio: ['ignore', 'ignore', 'pipe'] });
    const killAtExit = (): void => void server.kill('SIGKILL');
    process.once('exit', killAtExit);
    const stop = async (): Promise<void> => {
      process.off('exit', killAtExit);
      await ended(server, 'SIGKILL');
    };
    try {
      return { ...(await portsOf(server, folder)), pid: server.pid ?? 0, stop, [Symbol.asyncDispose]: stop };
    } catch (error) {
      await stop();
      throw error;
    }
  } finally {
    // A server that listens has read its files.
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Waits for the file in which the server tells where it listens. */
async function portsOf(server: ChildProcess, folder: string): Promise<Pick<NatsServer, 'port' | 'webSocketPort'>> {
  let log = '';
  server.stderr?.on('data', (text: Buffer) => (log += text.toString()));
  for (let i = 0; i < 400 && server.exitCode === null; i++) {
    const name = readdirSync(folder).find((each) => each.endsWith('.ports'));
    const text = name === undefined ? '' : readFileSync(join(folder, name), 'utf8');
    if (text.trimEnd().endsWith('}')) {
      const { nats, websocket } = JSON.parse(text) as Readonly<Record<'nats' | 'websocket', readonly string[]>>;
      return { port: portOf(nats), webSocketPort: portOf(websocket) };
    }
    await new Promise((done) => setTimeout(done, 25));
  }
  throw new Error(`nats-server does not listen:\n${log}`);
}

function portOf([address]: readonly string[]): number {
  return Number(/:(\d+)$/.exec(address ?? '')?.[1]);
}
