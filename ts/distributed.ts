/** Several processes that train together: the entry `syncbn/distributed`, with the names of `torch.distributed`. */

export { connectedPorts } from './distributed/connected_ports.ts';
export {
  DistributedDataParallel,
  type DistributedDataParallelOptions,
} from './distributed/distributed_data_parallel.ts';
export { DistributedSampler, type DistributedSamplerOptions } from './distributed/distributed_sampler.ts';
export {
  type Backend,
  initProcessGroup,
  type InitProcessGroupOptions,
  type Rendezvous,
} from './distributed/init_process_group.ts';
export type { Reduction } from './distributed/gradient_reducer.ts';
export { createLocalGroups, type LocalGroupOptions, runRanks } from './distributed/local.ts';
export type { FrameCounts } from './distributed/messenger.ts';
export {
  type AllReduceOptions,
  type CollectiveOptions,
  ProcessGroup,
  type ProcessGroupOptions,
} from './distributed/process_group.ts';
export { ports, type PortsOptions } from './distributed/ports_backend.ts';
export { portsMemory } from './distributed/ports_memory.ts';
export {
  ConnectionLostError,
  GroupDestroyedError,
  GroupTimeoutError,
  PeerFailedError,
  PeerLostError,
  RankError,
  RendezvousError,
} from './distributed/process_group_errors.ts';
export type { RankContext, RankMain } from './distributed/rank_main.ts';
export { spawnable } from './distributed/rank_program.ts';
/** @internal */
export { startRank } from './distributed/rank_program.ts';
export { spawn } from './distributed/spawn.ts';
export type { SpawnedWorker, SpawnOptions } from './distributed/spawn_options.ts';
export type { ReduceOp } from './distributed/sums.ts';
export type { Liveness, Outage, Transport } from './distributed/transport.ts';
