/**
 * What an exchange between ranks costs, beside bare messages of the same transport in the same run: `npm run bench:distributed`. Needs nothing but
 * `nats-server`. This file is the program of the ranks, too.
 */

import { isMainThread, MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { connect } from '@nats-io/transport-node';
import {
  initProcessGroup,
  type ProcessGroup,
  type RankContext,
  spawn,
  spawnable,
  type SpawnedWorker,
} from 'syncbn/distributed';
import { nats } from 'syncbn/distributed/nats';
import { startNatsServer } from '../../tests/support/nats_server.ts';

const BYTES = 4096;
const ROUNDS = 2000;
/** 25 MB of gradients, as of a network of six million parameters. */
const VALUES = 6_250_000;
const REDUCTIONS = 5;

interface Settings {
  /** `null`: the ports of the threads. */
  readonly port: number | null;
  readonly job: string;
}

interface Measured {
  /** Of an all-gather of 4 KiB, in milliseconds. */
  readonly gather: number;
  /** Of an all-reduce of 25 MB at best, in milliseconds. */
  readonly reduce: number;
}

spawnable(async ({ rank, size, group: threads, args }: RankContext<Settings>): Promise<Measured> => {
  const { port, job } = args;
  if (port === null) return measure(threads);
  const backend = nats({ servers: `nats://127.0.0.1:${port}` });
  const group = await initProcessGroup({ backend, job, rank, worldSize: size });
  const measured = await measure(group);
  await group.destroy();
  return measured;
});

async function measure(group: ProcessGroup): Promise<Measured> {
  const bytes = new Uint8Array(BYTES);
  const gather = await median(ROUNDS, () => group.allGather(bytes, 'layer'));
  const values = new Float32Array(VALUES).fill(1);
  const reduce = await fastest(REDUCTIONS, () => group.allReduce(values));
  return { gather, reduce };
}

async function timesOf(rounds: number, run: () => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const start = performance.now();
    await run();
    times.push(performance.now() - start);
  }
  return times.slice(Math.floor(rounds / 10)).sort((a, b) => a - b);
}

async function median(rounds: number, run: () => Promise<unknown>): Promise<number> {
  const times = await timesOf(rounds, run);
  return times[Math.floor(times.length / 2)] ?? NaN;
}

async function fastest(rounds: number, run: () => Promise<unknown>): Promise<number> {
  return (await timesOf(rounds, run))[0] ?? NaN;
}

/** A round trip of 4 KiB between two threads, with nothing but `postMessage`. */
async function barePorts(): Promise<number> {
  const echo = new Worker(
    `require('node:worker_threads').parentPort.once('message', ({ port }) => port.on('message', (bytes) => port.postMessage(bytes)));`,
    { eval: true },
  );
  const { port1, port2 } = new MessageChannel();
  echo.postMessage({ port: port2 }, [port2]);
  const roundTrip = (port: MessagePort): Promise<unknown> =>
    new Promise((resolve) => {
      port.once('message', resolve);
      port.postMessage(new Uint8Array(BYTES));
    });
  const time = await median(ROUNDS, () => roundTrip(port1));
  port1.close();
  await echo.terminate();
  return time;
}

/** A request of 4 KiB with its reply, and 25 MB published and received, between two connections. */
async function bareNats(port: number): Promise<{ readonly request: number; readonly publish: number }> {
  const servers = `127.0.0.1:${port}`;
  const [from, to] = await Promise.all([connect({ servers }), connect({ servers })]);
  const bytes = new Uint8Array(BYTES);
  let onLast: () => void = () => undefined;
  let received = 0;
  const piece = new Uint8Array(2 ** 19);
  const pieces = Math.ceil((4 * VALUES) / piece.length);
  to.subscribe('echo', { callback: (_, message) => void message.respond(bytes) });
  to.subscribe('sink', {
    callback: () => {
      received += 1;
      if (received % pieces === 0) onLast();
    },
  });
  await to.flush();
  const request = await median(ROUNDS, () => from.request('echo', bytes));
  const publish = await fastest(REDUCTIONS, async () => {
    const done = new Promise<void>((resolve) => (onLast = resolve));
    for (let i = 0; i < pieces; i++) from.publish('sink', piece);
    await done;
  });
  await Promise.all([from.close(), to.close()]);
  return { request, publish };
}

async function main(): Promise<void> {
  const make = (): SpawnedWorker => new Worker(new URL(import.meta.url)) as unknown as SpawnedWorker;
  const server = await startNatsServer();
  const [bare, { request, publish }] = [await barePorts(), await bareNats(server.port)];
  const show = (milliseconds: number): string => milliseconds.toPrecision(3);
  console.log(`bare postMessage round trip of 4 KiB: ${show(bare)} ms p50`);
  console.log(
    `bare NATS request and reply of 4 KiB: ${show(request)} ms p50; 25 MB published: ${show(publish)} ms at best`,
  );
  for (const size of [2, 4]) {
    for (const port of [null, server.port]) {
      const args: Settings = { port, job: `bench-${size}` };
      const [{ gather, reduce } = { gather: NaN, reduce: NaN }] = await spawn<Measured>(make, { nprocs: size, args });
      const [name, unit] = port === null ? ['ports', bare] : ['nats', request];
      const times = `${show(gather)} ms p50, ${(gather / unit).toFixed(2)} bare round trips`;
      console.log(
        `${name}, ${size} ranks: all-gather of 4 KiB ${times}; all-reduce of 25 MB ${show(reduce)} ms at best`,
      );
    }
  }
  await server.stop();
}

if (isMainThread) await main();
