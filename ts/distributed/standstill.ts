/** Finds out that all ranks wait for each other, so that none will ever go on. */

import type { Report } from './messenger.ts';

/**
 * A rank whose forward has several branches may wait in one of them while another still computes. One that computes in its own thread does not
 * answer meanwhile. So it takes some rounds of questions, each answered by all at once, in which nothing has changed.
 */
const ROUNDS = 3;
/** Where ranks answer late, have work on workers and GPUs, or several groups, so long. */
const STANDSTILL_MS = 1000;

/** Older reports tell nothing of what is. */
const FRESH_MS = 750;

/** What the ranks of a standstill wait in. */
export interface Crossing {
  /** A rank that waits in something else, where there is one. */
  readonly rank: number;
  readonly own: string;
  readonly theirs: string;
}

/** What is known of the other ranks, from their answers. */
export class Standstill {
  readonly #reports = new Map<number, Report & { readonly at: number }>();
  /** Who has answered in this round. */
  readonly #answered = new Set<number>();
  #state: { readonly text: string; readonly since: number; rounds: number } | null = null;

  /**
   * Another rank has answered.
   * @returns whether it waits now, and did not when it answered last.
   */
  hear(from: number, report: Report): boolean {
    const before = this.#reports.get(from);
    this.#reports.set(from, { ...report, at: performance.now() });
    this.#answered.add(from);
    return report.waits.length > 0 && before?.waits.join() !== report.waits.join();
  }

  /** Something has come: it begins anew. */
  end(): void {
    this.#state = null;
  }

  /**
   * Whether all ranks wait and nothing is on its way that could end that. Every rank has told what it has sent and received; where all that
   * was sent has come, and stays all that was sent, nobody will go on. Ends a round of questions.
   *
   * @param others - the ranks that are left.
   * @returns `null` while that is not known.
   */
  check(rank: number, own: Report, others: readonly number[]): Crossing | null {
    const now = performance.now();
    const haveAnswered = others.every((other) => this.#answered.has(other));
    this.#answered.clear();
    const reports = new Map<number, Report>([[rank, own]]);
    for (const other of others) {
      const report = this.#reports.get(other);
      if (report === undefined || now - report.at > FRESH_MS || report.waits.length === 0) {
        this.#state = null;
        return null;
      }
      reports.set(other, report);
    }
    const text = JSON.stringify(Array.from(reports.values(), ({ waits, sent }) => [waits, sent]));
    if (reports.size === 1 || !isDelivered(reports)) {
      this.#state = null;
    } else if (this.#state?.text !== text) {
      this.#state = { text, since: now, rounds: 0 };
    } else {
      this.#state.rounds = haveAnswered ? this.#state.rounds + 1 : 0;
      const isIdle = this.#state.rounds >= ROUNDS && [...reports.values()].every(({ mayGoOn }) => !mayGoOn);
      if (isIdle || now - this.#state.since >= STANDSTILL_MS) {
        return crossingOf(rank, reports);
      }
    }
    return null;
  }
}

function crossingOf(rank: number, reports: ReadonlyMap<number, Report>): Crossing {
  const textOf = (other: number): string => reports.get(other)?.waits.join(' and ') ?? '';
  const others = [...reports.keys()].filter((other) => other !== rank);
  const differing = others.find((other) => textOf(other) !== textOf(rank)) ?? others[0] ?? rank;
  return { rank: differing, own: textOf(rank), theirs: textOf(differing) };
}

/** Whether all frames have come that were sent between these ranks. */
function isDelivered(reports: ReadonlyMap<number, Report>): boolean {
  return [...reports].every(([from, { sent }]) =>
    [...reports].every(
      ([to, { acknowledged }]) =>
        from === to || (acknowledged[2 * from] === sent[0] && acknowledged[2 * from + 1] === sent[1 + to]),
    ),
  );
}
