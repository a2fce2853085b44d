/**
 * The meeting point alone: every worker gives a payload, all meet, and every worker takes one. Through the calling thread, what the
 * workers take travels with the next command, as `finalize` does in a layer, so a meeting is one message there and one back.
 */

import { Worker } from 'node:worker_threads';
import { type Device, type DeviceBuffer, devices, init } from 'syncbn';
// The only part of the library that is not reached through its face: a layer has it, users have not.
import { MeetingPoint } from '../../ts/sync/meeting_point.ts';
import { interleave } from '../measure.ts';
import { percentile } from '../statistics.ts';
import { type Meeters, openExchanges } from './exchanges.ts';

/**
 * `bare`: `postMessage` there and back. `posted` and `shared`: meetings of worker devices through the calling thread, without and with
 * shared memory. `exchanged`: among themselves, as in layers where memory can be shared.
 */
export type Transport = 'bare' | 'posted' | 'shared' | 'exchanged';

export interface MeetingTime {
  readonly transport: Transport;
  readonly workers: number;
  readonly bytes: number;
  /** Seconds. */
  readonly p50: number;
  readonly p95: number;
}

const PAYLOADS = [0, 2048, 65_536] as const;
const BYTES_PER_VALUE = 4;
/** Rounds of one contender before it is the next one's turn. */
const TURN = 50;
/** Until code is compiled. */
const WARM_UP_ROUNDS = 300;

/** @param rounds - of each transport, payload and number of workers. */
export async function measureMeetings(workerCounts: readonly number[], rounds: number): Promise<MeetingTime[]> {
  const times: MeetingTime[] = [];
  for (const workers of workerCounts) times.push(...(await measureWith(workers, rounds)));
  return times;
}

async function measureWith(workers: number, rounds: number): Promise<MeetingTime[]> {
  const names = (first: number) => Array.from({ length: workers }, (_, i) => `worker:${first + i}`);
  const shared = names(0);
  const posted = names(workers);
  await init(shared);
  await withoutSharedMemory(() => init(posted));
  const transports: readonly (readonly [Transport, Meeters])[] = [
    ['bare', openEchoes(workers)],
    ['posted', openDevices(posted)],
    ['shared', openDevices(shared)],
    ['exchanged', await openExchanges(workers, Math.max(...PAYLOADS))],
  ];
  const contenders = PAYLOADS.flatMap((bytes) =>
    transports.map(([transport, { meet }]) => ({ transport, bytes, meet, samples: [] as number[] })),
  );
  for (const { meet, bytes } of contenders) await meet(bytes, WARM_UP_ROUNDS);
  await interleave(
    contenders,
    ({ samples }) => samples.length >= rounds,
    async ({ meet, bytes, samples }) => samples.push(...(await meet(bytes, TURN))),
  );
  await Promise.all(transports.map(([, meeters]) => meeters.close()));
  return contenders.map(({ transport, bytes, samples }) => ({
    transport,
    workers,
    bytes,
    p50: percentile(samples, 0.5),
    p95: percentile(samples, 0.95),
  }));
}

/** Times one round of all workers again and again. */
function timed(round: (bytes: number) => Promise<unknown>): Meeters['meet'] {
  return async (bytes, rounds) => {
    const seconds: number[] = [];
    for (let i = 0; i < rounds; i++) {
      const start = performance.now();
      await round(bytes);
      seconds.push((performance.now() - start) / 1000);
    }
    return seconds;
  };
}

/** Workers that send back what they are sent, and nothing around them. */
function openEchoes(count: number): Meeters {
  const program = `const { parentPort } = require('node:worker_threads');
    parentPort.on('message', (message) => parentPort.postMessage(message));`;
  const workers = Array.from({ length: count }, () => new Worker(program, { eval: true }));
  const payloads = new Map(PAYLOADS.map((bytes) => [bytes as number, new Uint8Array(bytes)]));
  let missing = 0;
  let end: () => void = () => undefined;
  for (const worker of workers) {
    worker.on('message', () => {
      missing -= 1;
      if (missing === 0) end();
    });
  }
  const round = (bytes: number) =>
    new Promise<void>((resolve) => {
      missing = count;
      end = resolve;
      for (const worker of workers) worker.postMessage(payloads.get(bytes));
    });
  return {
    meet: timed(round),
    close: () => Promise.all(workers.map((worker) => worker.terminate())),
  };
}

/** Worker devices whose memory holds the largest payload. */
function openDevices(names: readonly string[]): Meeters {
  const length = Math.max(...PAYLOADS) / BYTES_PER_VALUE;
  const replicas = names.map((name) => {
    const device = devices.get(name);
    return { device, buffer: device.allocate(length) };
  });
  return {
    meet: timed((bytes) => {
      const point = new MeetingPoint(names);
      return Promise.all(replicas.map((replica, r) => meetOthers(point, r, replica, bytes / BYTES_PER_VALUE)));
    }),
    close: () => devices.close(),
  };
}

async function meetOthers(
  point: MeetingPoint,
  index: number,
  { device, buffer }: { readonly device: Device; readonly buffer: DeviceBuffer },
  length: number,
): Promise<void> {
  const session = point.attend(index, 'bench', { timeoutSeconds: 15, onTimeout: 'error' });
  const payload = await device.readRows({ buffer, offset: 0, stride: length }, length, 1);
  const outcome = await session.meet(index, payload, ([first]) => first);
  if (outcome.kind === 'met' && outcome.value !== undefined && length > 0) device.write(buffer, outcome.value);
}

/** Runs a function where `SharedArrayBuffer` is missing, as in a page that is not cross-origin isolated. */
async function withoutSharedMemory(run: () => Promise<void>): Promise<void> {
  const { SharedArrayBuffer } = globalThis;
  Reflect.deleteProperty(globalThis, 'SharedArrayBuffer');
  try {
    await run();
  } finally {
    Object.assign(globalThis, { SharedArrayBuffer });
  }
}
