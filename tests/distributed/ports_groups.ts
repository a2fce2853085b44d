/** Groups of ranks in this thread that exchange through message ports, so that a test can get at what is between them. */

import { portsMemory, portsTransport, ProcessGroup, type ProcessGroupOptions } from 'syncbn/distributed';

export interface PortsGroups {
  /** In order of ranks. */
  readonly groups: readonly ProcessGroup[];
  /** Of each rank, its ports to the others. */
  readonly ports: readonly (readonly (MessagePort | null)[])[];
  /** What they share; empty where they share nothing. */
  readonly memory: Uint8Array;
}

/** How ranks can exchange here: pages that are not cross-origin isolated share no memory. */
export const ways: readonly string[] = portsMemory(2) === null ? ['messages'] : ['shared memory', 'messages'];

export function portsGroups(size: number, way: string, options: ProcessGroupOptions = {}): PortsGroups {
  const ports = Array.from({ length: size }, () => Array.from({ length: size }, (): MessagePort | null => null));
  for (const [a, own] of ports.entries()) {
    for (const [b, theirs] of ports.entries()) {
      if (a >= b) continue;
      const { port1, port2 } = new MessageChannel();
      own[b] = port1;
      theirs[a] = port2;
    }
  }
  const memory = way === 'messages' ? null : portsMemory(size);
  const groups = ports.map(
    (own, rank) => new ProcessGroup(portsTransport({ rank, job: 'ports', ports: own, memory }), options),
  );
  return { groups, ports, memory: new Uint8Array(memory ?? new ArrayBuffer()) };
}

/** Runs a function for every rank, all at once; gives what they return, in order. */
export async function runPorts<T>(size: number, way: string, run: (group: ProcessGroup) => Promise<T>): Promise<T[]> {
  const { groups } = portsGroups(size, way);
  try {
    return await Promise.all(groups.map(run));
  } finally {
    await Promise.all(groups.map((group) => group.destroy()));
  }
}
