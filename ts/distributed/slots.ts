/** Matches the messages of exchanges with those that wait for them, whichever comes first. */

import { type Exchange, keyOf, type Label } from './exchange.ts';
import type { Wait } from './watchdog.ts';

/** A message that nobody waited for when it came. */
export interface Arrival {
  readonly stage: number;
  readonly from: number;
  readonly descriptor: string;
  readonly bytes: Uint8Array;
}

/** What is known of the exchanges of one name: this rank's part in them, and what has come and is not waited for yet. */
interface Slot {
  active: number;
  exchange: Exchange | null;
  readonly arrivals: Arrival[];
  readonly waits: Wait[];
}

export class Slots {
  readonly #slots = new Map<string, Slot>();

  /**
   * This rank begins an exchange.
   * @returns a message of it that is of something else.
   */
  begin(exchange: Exchange): Arrival | undefined {
    const slot = this.#slotOf(exchange);
    slot.active += 1;
    slot.exchange = exchange;
    return exchange.number === null
      ? undefined
      : slot.arrivals.find(({ descriptor }) => descriptor !== exchange.descriptor);
  }

  /**
   * The exchange is over for this rank.
   * @returns a message that is left over.
   */
  end(exchange: Exchange): Arrival | undefined {
    const slot = this.#slotOf(exchange);
    slot.active -= 1;
    const [rest] = slot.arrivals;
    if (slot.active === 0 && rest === undefined) {
      this.#slots.delete(keyOf(exchange));
    }
    return exchange.number === null ? undefined : rest;
  }

  /** Whether there is something of the exchange: this rank's part in it, or messages. */
  has(exchange: Label): boolean {
    return this.#slots.has(keyOf(exchange));
  }

  /** Takes a message that has come. */
  take(exchange: Exchange, stage: number, from: number): Arrival | undefined {
    const { arrivals } = this.#slotOf(exchange);
    const index = arrivals.findIndex((arrival) => arrival.from === from && arrival.stage === stage);
    return index < 0 ? undefined : arrivals.splice(index, 1)[0];
  }

  /** Whether a message has come. */
  hasCome(exchange: Exchange, stage: number, from: number): boolean {
    return this.#slotOf(exchange).arrivals.some((arrival) => arrival.from === from && arrival.stage === stage);
  }

  wait(wait: Wait): void {
    this.#slotOf(wait.exchange).waits.push(wait);
  }

  /**
   * Who waits for a message, or what this rank does in its exchange.
   * @returns `exchange`, `null` where this rank does not know it yet.
   */
  expect({ stage, ...name }: Label, from: number): { readonly wait: Wait | null; readonly exchange: Exchange | null } {
    const slot = this.#slotOf(name);
    const wait = slot.waits.find((each) => each.from === from && each.stage === stage) ?? null;
    return { wait, exchange: wait?.exchange ?? (name.number === null ? null : slot.exchange) };
  }

  /** Keeps a message for later. */
  keep(label: Label, from: number, bytes: Uint8Array): void {
    const { stage, descriptor } = label;
    this.#slotOf(label).arrivals.push({ stage, from, descriptor, bytes });
  }

  /** What was waited for has come. */
  endWait(wait: Wait): void {
    const { waits } = this.#slotOf(wait.exchange);
    waits.splice(waits.indexOf(wait), 1);
  }

  clear(): void {
    this.#slots.clear();
  }

  #slotOf(exchange: Pick<Exchange, 'path' | 'number'>): Slot {
    const key = keyOf(exchange);
    let slot = this.#slots.get(key);
    if (slot === undefined) {
      slot = { active: 0, exchange: null, arrivals: [], waits: [] };
      this.#slots.set(key, slot);
    }
    return slot;
  }
}
