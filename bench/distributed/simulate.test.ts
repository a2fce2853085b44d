import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type MessageCosts, type Network, timeOfExchanges, timeOfReduction } from './simulate.ts';
import { costsIn, exchangesOfResNet50, page, simulated, simulatedIn, withSimulated } from './tables.ts';

const free: MessageCosts = { send: 0, receive: 0, forward: 0 };
const costs: MessageCosts = { send: 0.05, receive: 0.03, forward: 0.01 };
const fast: Network = { ranks: 4, roundTrip: 0, megabits: Infinity, costs: free };
const bytes = exchangesOfResNet50();

describe('the simulation of exchanges', () => {
  it('has_106_exchanges_of_a_network_of_53_layers', () => {
    expect(bytes).toHaveLength(106);
    // 26,560 channels.
    expect(bytes.reduce((a, b) => a + b)).toBe(2 * 26_560 * 16);
  });

  it('takes_no_time_where_nothing_costs_anything', () => {
    expect(timeOfExchanges(fast, bytes)).toBe(0);
    expect(timeOfExchanges({ ...fast, ranks: 1, costs: { ...costs, send: 0 }, roundTrip: 5 }, bytes)).toBe(0);
  });

  it.each([2, 8, 64])('takes_a_round_trip_for_each_exchange_where_only_distance_costs, %d ranks', (ranks) => {
    expect(timeOfExchanges({ ...fast, ranks, roundTrip: 10 }, bytes)).toBeCloseTo(1060);
  });

  it.each([2, 3, 8])('takes_the_time_of_all_messages_at_the_broker_where_only_that_costs, %d ranks', (ranks) => {
    const time = timeOfExchanges({ ...fast, ranks, costs: { ...free, forward: 0.5 } }, [1, 1, 1]);
    expect(time).toBeCloseTo(3 * ranks * (ranks - 1) * 0.5);
  });

  it('takes_the_time_of_the_bytes_on_three_links_between_two_ranks', () => {
    // 1 Mbit of each, at 1 Mbit/s: up in a second; two messages out of the broker one after another, in step with the links down.
    expect(timeOfExchanges({ ...fast, ranks: 2, megabits: 1 }, [125_000])).toBeCloseTo(3000);
  });

  it('takes_longer_with_more_of_anything', () => {
    const network: Network = { ranks: 4, roundTrip: 1, megabits: 100, costs };
    const time = timeOfExchanges(network, bytes);
    const more: Partial<Network>[] = [{ ranks: 5 }, { roundTrip: 1.1 }, { megabits: 90 }];
    for (const change of more) expect(timeOfExchanges({ ...network, ...change }, bytes)).toBeGreaterThan(time);
    for (const name of ['send', 'receive', 'forward'] as const) {
      const dearer = { ...costs, [name]: 2 * costs[name] };
      expect(timeOfExchanges({ ...network, costs: dearer }, bytes)).toBeGreaterThan(time);
    }
  });

  it('has_the_bytes_of_an_all_reduce_on_the_broker_for_each_other_rank_twice', () => {
    const network = { roundTrip: 0, megabits: 8 };
    expect(timeOfReduction({ ...network, ranks: 2 }, 1e6)).toBeCloseTo(2000);
    expect(timeOfReduction({ ...network, ranks: 8 }, 1e6)).toBeCloseTo(14_000);
    expect(timeOfReduction({ ...network, ranks: 1 }, 1e6)).toBe(0);
  });
});

it('the_page_has_what_its_costs_of_a_message_give', () => {
  const text = readFileSync(page, 'utf8');
  expect(simulatedIn(text)).toBe(simulated(costsIn(text)));
});

it('other_costs_change_the_tables_and_nothing_else_of_the_page', () => {
  const text = readFileSync(page, 'utf8');
  const other = withSimulated(text, costs);
  expect(simulatedIn(other)).toBe(simulated(costs));
  expect(costsIn(other)).toEqual(costs);
  expect(withSimulated(other, costsIn(text))).toBe(text);
  expect(other).not.toBe(text);
});
