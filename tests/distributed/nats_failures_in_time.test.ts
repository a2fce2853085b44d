/** How soon ranks over NATS are told of a failure, by the clock. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type NatsServer, startNatsServer } from '../support/nats_server.ts';
import { rankStarter, type Starter } from './rank_process.ts';
import { type Failing, timeOfFailure } from './time_of_failure.ts';

/** Other programs may have the machine for a moment; three times in a row they have not. */
const TIMES = 3;

let server: NatsServer;
let start: Starter;

beforeAll(async () => {
  [start, server] = await Promise.all([rankStarter(), startNatsServer()]);
});
afterAll(() => server.stop());

describe('all ranks are told', () => {
  it.each<[string, Failing, number]>([
    ['of one that is killed, within a second', 'kill', 1000],
    ['what one has thrown, within 50 ms', 'throw', 50],
    ['that one does something else, within 50 ms', 'length', 50],
  ])('%s', async (_, what, most) => {
    let best = Infinity;
    for (let i = 0; i < TIMES && !(best <= most); i++) {
      best = Math.min(best, await timeOfFailure(start, `nats://127.0.0.1:${server.port}`, what));
    }
    expect(best).toBeLessThanOrEqual(most);
  });
});
