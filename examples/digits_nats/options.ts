/** The command line. */

import { Command, InvalidArgumentError } from 'commander';
import type { RankOptions } from '../digits_distributed/train_rank.ts';

export interface NatsOptions extends RankOptions {
  readonly nodeRanks: number;
  readonly pages: number;
  /** How long the ranks wait for each other, in seconds. */
  readonly timeout: number;
  /** Addresses of a broker that is there, for Node; `null`: one is started. */
  readonly servers: string | null;
  /** The addresses for pages. */
  readonly webServers: string | null;
  /** Whether one process trains the same afterwards. */
  readonly compare: boolean;
}

/** @returns `null` when the text of `--help` or of an error was printed. */
export function readOptions(given: readonly string[]): NatsOptions | null {
  const integer =
    (least: number) =>
    (text: string): number => {
      const value = Number(text);
      if (!Number.isSafeInteger(value) || value < least)
        throw new InvalidArgumentError(`expected an integer of at least ${least}`);
      return value;
    };
  const command = new Command('npm run example:nats --')
    .description(
      'Trains a small network on handwritten digits, on ranks in Node and in pages, which meet at a NATS server.',
    )
    .option('--node-ranks <n>', 'ranks in Node, each a thread', integer(1), 1)
    .option('--pages <n>', 'ranks in pages, which you open', integer(0), 1)
    .option('--batch <n>', 'samples per step, of all ranks together', integer(2), 16)
    .option('--steps <n>', 'training steps', integer(1), 200)
    .option('--seed <n>', 'decides weights, images and batches', integer(0), 1)
    .option('--timeout <s>', 'how long ranks wait for each other, in seconds', integer(1), 120)
    .option('--servers <urls>', 'a broker that is there, nats:// or tls://; by default one is started on this machine')
    .option('--web-servers <urls>', 'the same broker for pages, ws:// or wss://')
    .option('--compare', 'train the same in one process afterwards, and compare the weights', false)
    .exitOverride();
  try {
    command.parse(given, { from: 'user' });
  } catch (error) {
    process.exitCode = (error as { readonly exitCode?: number }).exitCode ?? 2;
    return null;
  }
  const { servers = null, webServers = null, ...rest } = command.opts<Partial<NatsOptions>>();
  return { servers, webServers, ...(rest as Omit<NatsOptions, 'servers' | 'webServers'>) };
}
