/** The backend `ports`: ranks in threads of one program that the program has started by itself. */

import { describeValue } from '../describe_value.ts';
import { loadOnce } from '../load_once.ts';
import type { Backend } from './init_process_group.ts';

/** Of {@link ports}. */
export interface PortsOptions {
  /** Of each rank, the port to it; `null` in the place of this one. */
  readonly ports: readonly (MessagePort | null)[];
  /** What {@link portsMemory} has made for so many threads, the same in all of them; default `null`: they share no memory. */
  readonly memory?: SharedArrayBuffer | null;
}

/** What only a thread that has ports needs. */
const loadPorts = loadOnce(() => import('./ports.ts'));

/**
 * Ranks in threads that somebody has brought the other ends of the ports to; {@link spawn} does that by itself.
 *
 * @example
 * ```ts
 * const group = await initProcessGroup({ backend: ports({ ports: [null, port] }), rank: 0, worldSize: 2 });
 * ```
 */
export function ports(options: PortsOptions): Backend {
  return {
    connect: async ({ rank, worldSize, job }) => {
      const { ports: own, memory = null } = options;
      if (!Array.isArray(own) || own.length !== worldSize) {
        throw new RangeError(`ports(): expected ports of ${worldSize} ranks, got ${describeValue(own)}`);
      }
      const { portsTransport } = await loadPorts();
      return portsTransport({ rank, job, ports: own, memory });
    },
  };
}
