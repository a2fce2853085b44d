/** How the ranks of a job find each other at a NATS server: rank 0 waits on `syncbn.JOB.join`, and gives all the name of this run. */

import type { Msg, NatsConnection } from '@nats-io/nats-core';
import { type Rendezvous, RendezvousError } from '../distributed.ts';
import { forbidden, isForbidden } from './nats_permissions.ts';

/** How long the one who asks waits for an answer, and until it asks again where there is nobody. */
const OWN_ANSWER_MS = 1000;
const ANSWER_MS = 5000;
const AGAIN_MS = 100;

/** What a rank says when it comes, and what it is answered. */
interface Coming {
  readonly rank: number;
  readonly worldSize: number;
  /** Which process it is: a rank may have to ask more than once. */
  readonly process: string;
}

type Answer = { readonly session: string } | { readonly refusal: string };

/** Rank 0 waits for all others, and tells late ones from then on that they are. */
export async function gather(
  connection: NatsConnection,
  base: string,
  place: Rendezvous,
  until: number,
): Promise<string> {
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
      .request(`${base}.join`, JSON.stringify(own), { timeout: OWN_ANSWER_MS })
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
export async function ask(connection: NatsConnection, base: string, place: Rendezvous, until: number): Promise<string> {
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
      message = await connection.request(`${base}.join`, JSON.stringify(own), { timeout: Math.min(left, ANSWER_MS) });
    } catch (error) {
      if (isForbidden(error)) {
        throw new RendezvousError(job, forbidden(error), { cause: error });
      }
      // Rank 0 is not there yet, or waits for others.
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
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

function randomName(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
