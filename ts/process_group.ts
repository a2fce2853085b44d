/** Process groups that come with the library: the entry `syncbn/process_group`. */

export {
  createInProcessGroups,
  type InProcessGroup,
  type InProcessGroupOptions,
  runRanks,
} from './process_group/in_process_group.ts';
export { GroupTimeoutError, PeerFailedError } from './process_group/process_group_errors.ts';
