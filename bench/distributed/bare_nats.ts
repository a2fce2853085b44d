/** The bytes of an all-reduce over a NATS server without collectives: what publishing and reading them costs by itself. */

import { connect } from '@nats-io/transport-node';
import type { ProcessGroup } from 'syncbn/distributed';
import { fastest, REDUCE_VALUES, REDUCTIONS } from './timing.ts';

/** As the pieces of a long all-reduce are, and as much as it has under way at most: else the server would cut slow readers off. */
const PIECE_BYTES = 2 ** 19;
const WINDOW = 16;
const PIECES = Math.ceil((4 * REDUCE_VALUES) / PIECE_BYTES);

/**
 * Rank 0 publishes 25 MB, which rank 1 reads, and in both ways rank 1 as many at the same time. In milliseconds, until all is read.
 * @param group - tells when both begin, and have all.
 */
export async function publishTime(group: ProcessGroup, port: number, isBothWays: boolean): Promise<number> {
  const { rank } = group;
  const connection = await connect({ servers: `127.0.0.1:${port}`, noEcho: true });
  const piece = new Uint8Array(PIECE_BYTES).fill(rank);
  const [sends, reads] = [isBothWays || rank === 0, isBothWays || rank === 1];
  let [toSend, sent, read, toRead, taken] = [0, 0, 0, 0, 0];
  let onRead = (): void => undefined;
  const publish = (): void => {
    for (; sent < toSend && sent - taken < WINDOW; sent++) connection.publish(`pieces.${1 - rank}`, piece);
  };
  connection.subscribe(`pieces.${rank}`, {
    callback: () => {
      read++;
      if (read % (WINDOW / 4) === 0) connection.publish(`taken.${1 - rank}`, String(read));
      if (read === toRead) onRead();
    },
  });
  connection.subscribe(`taken.${rank}`, {
    callback: (_, message) => {
      taken = Number(message.string());
      publish();
    },
  });
  await connection.flush();
  await group.barrier();
  const time = await fastest(REDUCTIONS, async () => {
    const done = new Promise<void>((resolve) => (onRead = resolve));
    toSend += sends ? PIECES : 0;
    toRead += reads ? PIECES : 0;
    publish();
    if (reads && read < toRead) await done;
    await group.barrier();
  });
  await connection.close();
  return time;
}
