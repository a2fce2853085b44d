/** NATS servers and ranks as processes, each ended by its id. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { present } from '../../scripts/setup/nats_server.mjs';

export interface NatsServer {
  readonly port: number;
  stop(): Promise<void>;
}

/** @param config - text of a configuration file. @param port - where to listen; by default any. */
export async function startNatsServer(config = '', port?: number): Promise<NatsServer> {
  const program = present();
  if (program === null) throw new Error('there is no nats-server: `npm run setup` installs it');
  const chosen = port ?? (await freePort());
  const file = join(mkdtempSync(join(tmpdir(), 'syncbn-nats-')), 'server.conf');
  writeFileSync(file, `listen: 127.0.0.1:${chosen}\n${config}`);
  const server = spawn(program, ['-c', file], { stdio: 'ignore' });
  await listening(chosen);
  return { port: chosen, stop: () => ended(server, 'SIGKILL') };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  await new Promise((done) => server.close(done));
  if (address === null || typeof address === 'string') throw new Error('expected a port');
  return address.port;
}

async function listening(port: number): Promise<void> {
  for (let i = 0; i < 200; i++) {
    const isThere = await new Promise<boolean>((done) => {
      const socket = connect(port, '127.0.0.1');
      socket.on('connect', () => {
        socket.destroy();
        done(true);
      });
      socket.on('error', () => done(false));
    });
    if (isThere) return;
    await new Promise((done) => setTimeout(done, 25));
  }
  throw new Error('nats-server does not listen');
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((done) => child.once('exit', done));
  child.kill(signal);
  await gone;
}

/** What a process tells. */
export interface RankLine {
  readonly begun?: boolean;
  readonly step?: number;
  readonly result?: unknown;
  readonly error?: { readonly name: string; readonly message: string };
  readonly at?: number;
}

export interface RankProcess {
  /** Resolves with the first line for which that holds; with `null` when the process ends before. */
  line(is: (line: RankLine) => boolean): Promise<RankLine | null>;
  /** The last line. */
  end(): Promise<RankLine>;
  kill(): Promise<void>;
}

export function startRank(program: string, task: object): RankProcess {
  const child = spawn(process.execPath, [program, JSON.stringify(task)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: RankLine[] = [];
  let listeners: (() => void)[] = [];
  const notify = (): void => listeners.forEach((listen) => listen());
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(JSON.parse(line) as RankLine);
    notify();
  });
  let hasEnded = false;
  child.on('close', () => {
    hasEnded = true;
    notify();
  });
  const when = async (isDone: () => boolean): Promise<void> => {
    while (!isDone()) {
      await new Promise<void>((done) => {
        listeners.push(done);
      });
      listeners = [];
    }
  };
  return {
    line: async (is) => {
      await when(() => hasEnded || lines.some(is));
      return lines.find(is) ?? null;
    },
    end: async () => {
      await when(() => hasEnded);
      return lines.at(-1) ?? {};
    },
    kill: () => ended(child, 'SIGKILL'),
  };
}
