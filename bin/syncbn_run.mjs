#!/usr/bin/env node
/**
 * `syncbn-run`: starts the ranks of a training program, as `torchrun` does. On one machine they are threads of this process; with `--servers` the threads of
 * several machines meet at a NATS server.
 */

import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { pathToFileURL } from 'node:url';
import { RankError, spawn } from 'syncbn/distributed';

const usage = `usage: syncbn-run [options] program.js [arguments of the program]

Runs the default export of program.js in several ranks: main({ rank, size, group, args }), where args are the arguments of the program.

  --nproc N          ranks on this machine; 'auto' (default): as many as it has cores. Also --nproc-per-node
  --nnodes N         machines, each with as many ranks; default 1
  --node-rank R      the number of this machine, from 0; default 0
  --servers URLS     addresses of NATS servers, separated by commas; needed for several machines. Credentials are read from the
                     environment: NATS_USER and NATS_PASSWORD, NATS_TOKEN, NATS_NKEY, or the text of a .creds file in NATS_CREDS
  --job NAME         names the run, the same on all machines and another for each run; default 'default'. Also --rdzv-id
  --timeout S        how long a rank waits for another, in seconds; default 60
  --help

Each rank has RANK, LOCAL_RANK, WORLD_SIZE, LOCAL_WORLD_SIZE and GROUP_RANK in its environment.`;

const known = /** @type {const} */ ({
  nproc: { type: 'string', default: 'auto' },
  nnodes: { type: 'string', default: '1' },
  'node-rank': { type: 'string', default: '0' },
  servers: { type: 'string' },
  job: { type: 'string', default: 'default' },
  timeout: { type: 'string', default: '60' },
  help: { type: 'boolean', short: 'h' },
});

/** Other names of options, as torchrun has them. */
const aliases = { 'nproc-per-node': 'nproc', 'rdzv-id': 'job' };

/** A command line that cannot be run. */
class UsageError extends Error {}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(`syncbn-run: ${error.message}\n\n${usage}`);
  process.exitCode = 2;
}

/** @param {readonly string[]} given */
async function main(given) {
  const { options, program, args } = readCommand(given);
  if (options.help === true) {
    console.log(usage);
    return 0;
  }
  const nproc = options.nproc === 'auto' ? availableParallelism() : integer('--nproc', options.nproc, 1);
  const nodes = integer('--nnodes', options.nnodes, 1);
  const nodeRank = integer('--node-rank', options['node-rank'], 0, nodes - 1);
  const timeout = Number(options.timeout);
  if (!(timeout > 0)) throw new UsageError(`--timeout: expected more than 0 seconds, got ${options.timeout}`);
  if (program === undefined) throw new UsageError('expected a program to run');
  if (!existsSync(program)) throw new UsageError(`there is no file ${resolve(program)}`);
  const { servers } = options;
  if (nodes > 1 && servers === undefined) {
    throw new UsageError('--nnodes: machines meet at a NATS server; expected its address as --servers');
  }
  const url = pathToFileURL(resolve(program)).href;
  const env = { LOCAL_WORLD_SIZE: String(nproc), GROUP_RANK: String(nodeRank) };
  const place = { program: url, args, servers: servers?.split(','), job: options.job, nproc, nodes, nodeRank, timeout };
  try {
    await (servers === undefined
      ? spawn(url, { nprocs: nproc, timeout, env, args })
      : spawn(new URL('./rank_on_node.mjs', import.meta.url), { nprocs: nproc, timeout, env, args: place }));
    return 0;
  } catch (error) {
    if (!(error instanceof RankError)) throw error;
    const cause = /** @type {Error} */ (error.cause);
    console.error(`syncbn-run: rank ${nodeRank * nproc + error.rank} has failed:\n${cause.stack ?? cause.message}`);
    return 1;
  }
}

/**
 * Everything up to the program is ours, everything behind it the program's.
 * @param {readonly string[]} given
 */
function readCommand(given) {
  const named = given.map(withKnownName);
  const { tokens } = parseArgs({ args: named, options: known, strict: false, allowPositionals: true, tokens: true });
  const first = tokens.find(({ kind }) => kind === 'positional')?.index ?? named.length;
  try {
    const { values } = parseArgs({ args: named.slice(0, first), options: known });
    return { options: values, program: given[first], args: given.slice(first + 1) };
  } catch (error) {
    throw new UsageError(/** @type {Error} */ (error).message);
  }
}

/**
 * Options as this program calls them: `--nproc_per_node=4` is `--nproc=4`.
 * @param {string} argument
 */
function withKnownName(argument) {
  const [, written, rest = ''] = /^--([\w-]+)(=[^]*)?$/.exec(argument) ?? [];
  if (written === undefined) return argument;
  const name = written.replaceAll('_', '-');
  return `--${aliases[/** @type {keyof typeof aliases} */ (name)] ?? name}${rest}`;
}

/**
 * @param {string} name
 * @param {string} text
 * @param {number} least
 */
function integer(name, text, least, most = Number.MAX_SAFE_INTEGER) {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < least || value > most) {
    const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
    throw new UsageError(`${name}: expected an integer ${range}, got ${text}`);
  }
  return value;
}
