/** Frames that come before a rank has made its group: another one was faster. */

import { init } from 'syncbn';
import { ProcessGroup, type Transport } from 'syncbn/distributed';
import { beforeAll, expect, it } from 'vitest';

beforeAll(() => init(['cpu:0']));

/** Two transports that keep what comes until somebody listens, and then tell it at once. */
function pair(): { readonly transports: readonly [Transport, Transport]; readonly early: readonly Uint8Array[][] } {
  const early: Uint8Array[][] = [[], []];
  const receivers: (((frame: Uint8Array) => void) | null)[] = [null, null];
  const transport = (rank: 0 | 1): Transport => {
    const send = (frame: Uint8Array): void => {
      const receive = receivers[1 - rank];
      if (receive) queueMicrotask(() => receive(frame));
      else early[1 - rank]?.push(frame);
    };
    return {
      rank,
      size: 2,
      job: 'early',
      maxFrame: 2 ** 20,
      publish: send,
      send: (_, frame) => send(frame),
      onFrame: (receive) => {
        receivers[rank] = receive;
        early[rank]?.splice(0).forEach(receive);
      },
      alive: () => Promise.resolve('here'),
      close: () => Promise.resolve(),
    };
  };
  return { transports: [transport(0), transport(1)], early };
}

it('messages_and_questions_of_a_faster_rank_are_heard', async () => {
  const { transports, early } = pair();
  const first = await ProcessGroup.over(transports[0]);
  const sum = first.allReduce(Float32Array.of(1));
  // The message, and questions whether it has come.
  await expect.poll(() => early[1]?.length).toBeGreaterThan(2);
  const second = await ProcessGroup.over(transports[1]);
  const values = await second.allReduce(Float32Array.of(2));
  expect([...(await sum), ...values]).toEqual([3, 3]);
  await Promise.all([first.destroy(), second.destroy()]);
});

it('so_is_the_failure_of_a_faster_rank', async () => {
  const { transports } = pair();
  const first = await ProcessGroup.over(transports[0]);
  first.abort(new RangeError('no more data'));
  const second = await ProcessGroup.over(transports[1]);
  await expect(second.barrier()).rejects.toThrow('rank 0 of the process group has failed: RangeError: no more data');
  await Promise.all([first.destroy(), second.destroy()]);
});
