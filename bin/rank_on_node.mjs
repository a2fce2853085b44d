/** One rank of a job on several machines: a thread of `syncbn-run` runs it, which joins the job and calls the program. */

import { initProcessGroup } from 'syncbn/distributed';
import { nats } from 'syncbn/distributed/nats';

/**
 * @param {object} thread
 * @param {number} thread.rank - among the threads of this machine.
 * @param {object} thread.args
 * @param {string} thread.args.program - its URL.
 * @param {readonly string[]} thread.args.args - what the program is given.
 * @param {readonly string[]} thread.args.servers
 * @param {string} thread.args.job
 * @param {number} thread.args.nproc - ranks on each machine.
 * @param {number} thread.args.nodes
 * @param {number} thread.args.nodeRank
 * @param {number} thread.args.timeout - in seconds.
 */
export default async function rankOnNode({ rank: localRank, args: place }) {
  const { program, args, servers, job, nproc, nodes, nodeRank, timeout } = place;
  const rank = nodeRank * nproc + localRank;
  const worldSize = nodes * nproc;
  Object.assign(process.env, { RANK: String(rank), WORLD_SIZE: String(worldSize) });
  const { default: main } = await import(program);
  if (typeof main !== 'function') {
    throw new TypeError(
      `${program}: expected a function as the default export, which each rank calls, got ${typeof main}`,
    );
  }
  const backend = nats({ servers, ...credentials(process.env) });
  const group = await initProcessGroup({ backend, job, rank, worldSize, timeout });
  try {
    const result = await main({ rank, size: worldSize, group, args });
    await group.destroy();
    return result;
  } catch (error) {
    group.abort(error);
    // What was sent gets to the other machines before the thread ends.
    await group.destroy();
    throw error;
  }
}

/** @param {NodeJS.ProcessEnv} env */
function credentials({
  NATS_USER: user,
  NATS_PASSWORD: pass = '',
  NATS_TOKEN: token,
  NATS_NKEY: nkey,
  NATS_CREDS: creds,
}) {
  if (user) return { credentials: { user, pass } };
  if (token) return { credentials: { token } };
  if (nkey) return { credentials: { nkey } };
  return creds ? { credentials: { creds } } : {};
}
