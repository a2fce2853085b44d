/** Groups of ranks in this thread that exchange through message ports, so that a test can get at what is between them. */

import {
  connectedPorts,
  ports as portsBackend,
  portsMemory,
  ProcessGroup,
  type ProcessGroupOptions,
} from 'syncbn/distributed';
import { randomBits } from '../support/random.ts';

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

export async function portsGroups(size: number, way: string, options: ProcessGroupOptions = {}): Promise<PortsGroups> {
  const ports = connectedPorts(size);
  const memory = way === 'messages' ? null : portsMemory(size);
  const groups = await Promise.all(
    ports.map(async (own, rank) => {
      const backend = portsBackend({ ports: own, memory });
      const transport = await backend.connect({ job: 'ports', rank, worldSize: size, timeout: 10 });
      return ProcessGroup.over(transport, options);
    }),
  );
  return { groups, ports, memory: new Uint8Array(memory ?? new ArrayBuffer()) };
}

/** Two ranks, and what is between them. */
export interface PortsPair {
  readonly first: ProcessGroup;
  readonly second: ProcessGroup;
  readonly ports: readonly [MessagePort, MessagePort];
  /** What they share. */
  readonly memory: Uint8Array;
}

export async function portsPair(way: string): Promise<PortsPair> {
  const { groups, ports, memory } = await portsGroups(2, way, { timeout: 10 });
  const [[first, second], [port1, port2]] = [groups, [ports[0]?.[1], ports[1]?.[0]]];
  if (!first || !second || !port1 || !port2) throw new Error('expected two ranks');
  return { first, second, ports: [port1, port2], memory };
}

/** One collective, whose values tell its number; whether both ranks have got them. */
export async function isGatheredRight({ first, second }: PortsPair, i: number): Promise<boolean> {
  const own = (rank: number): Uint8Array =>
    Uint8Array.from({ length: 64 + (i % 5) }, (_, at) => randomBits(rank, i + at));
  const all = await Promise.all([first, second].map((group) => group.allGather(own(group.rank), `lane ${i % 3}`)));
  return all.every((gathered) => gathered.every((bytes, rank) => bytes.every((byte, at) => byte === own(rank)[at])));
}

/** Runs a function for every rank, all at once; gives what they return, in order. */
export async function runPorts<T>(size: number, way: string, run: (group: ProcessGroup) => Promise<T>): Promise<T[]> {
  const { groups } = await portsGroups(size, way);
  try {
    return await Promise.all(groups.map(run));
  } finally {
    await Promise.all(groups.map((group) => group.destroy()));
  }
}
