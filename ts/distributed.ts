/** Several processes that train together: the entry `syncbn/distributed`, with the names of `torch.distributed`. */

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
export { portsTransport, type PortsOptions } from './distributed/ports.ts';
export { portsMemory } from './distributed/shared_inbox.ts';
export {
  ConnectionLostError,
  GroupDestroyedError,
  GroupTimeoutError,
  PeerFailedError,
  PeerLostError,
  RendezvousError,
} from './distributed/process_group_errors.ts';
export { type RankContext, type RankMain, spawnable } from './distributed/rank_program.ts';
/** @internal */
export { startRank } from './distributed/rank_program.ts';
export { RankError, spawn, type SpawnedWorker, type SpawnOptions } from './distributed/spawn.ts';
export type { ReduceOp } from './distributed/sums.ts';
export type { Liveness, Outage, Transport } from './distributed/transport.ts';
