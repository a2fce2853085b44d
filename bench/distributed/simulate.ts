/**
 * How long the exchanges of a training step take over a broker, as a model: each message costs its sender, the broker and its receivers some time of
 * a processor, its bytes pass the links one after another, and each link takes half a round trip. Nothing is random.
 */

/** What a message costs in time of a processor, in milliseconds. */
export interface MessageCosts {
  /** A rank that sends one to all others. */
  readonly send: number;
  /** A rank that receives one. */
  readonly receive: number;
  /** The broker, for each rank that gets one. */
  readonly forward: number;
}

export interface Network {
  readonly ranks: number;
  /** From a rank to the broker and back, in milliseconds: what a message takes from rank to rank. */
  readonly roundTrip: number;
  /** Of the link of each rank and of the broker, in each direction, in Mbit/s. */
  readonly megabits: number;
  readonly costs: MessageCosts;
}

/**
 * Exchanges in a row, each of which begins for a rank when the one before has ended there.
 * @param bytes - that each rank gives to all others, for each exchange.
 * @returns milliseconds until the last rank has everything.
 */
export function timeOfExchanges({ ranks, roundTrip, megabits, costs }: Network, bytes: readonly number[]): number {
  const all = Array.from({ length: ranks }, (_, rank) => rank);
  const onLink = (size: number): number => (8 * size) / (1000 * megabits);
  /** Until when each is busy. */
  const uplink = all.map(() => 0);
  const downlink = all.map(() => 0);
  const broker = { processor: 0, link: 0 };
  let rank = all.map(() => 0);
  for (const size of bytes) {
    const sent = rank.map((start) => start + costs.send);
    const atBroker = all
      .map((from) => {
        uplink[from] = Math.max(uplink[from] ?? 0, sent[from] ?? 0) + onLink(size);
        return { from, time: uplink[from] + roundTrip / 2 };
      })
      .sort((a, b) => a.time - b.time);
    const now = [...sent];
    const arrivals: number[][] = all.map(() => []);
    for (const { from, time } of atBroker) {
      broker.processor = Math.max(broker.processor, time);
      for (const to of all) {
        if (to === from) continue;
        broker.processor += costs.forward;
        broker.link = Math.max(broker.link, broker.processor) + onLink(size);
        // The link of the rank takes a message in while the broker's gives it out.
        downlink[to] = Math.max((downlink[to] ?? 0) + onLink(size), broker.link);
        arrivals[to]?.push(downlink[to] + roundTrip / 2);
      }
    }
    for (const to of all) {
      for (const time of arrivals[to] ?? []) now[to] = Math.max(now[to] ?? 0, time) + costs.receive;
    }
    rank = now;
  }
  return Math.max(...rank);
}

/**
 * An all-reduce: each rank gives every other its slice of the values, and all others the sum of its own slice.
 * @returns milliseconds that the bytes take on the busiest link, with a round trip for each of the two ways; processors are not counted.
 */
export function timeOfReduction({ ranks, roundTrip, megabits }: Omit<Network, 'costs'>, bytes: number): number {
  if (ranks === 1) return 0;
  const up = bytes;
  const down = (2 * bytes * (ranks - 1)) / ranks;
  const fromBroker = ranks * down;
  return (8 * Math.max(up, down, fromBroker)) / (1000 * megabits) + 2 * roundTrip;
}
