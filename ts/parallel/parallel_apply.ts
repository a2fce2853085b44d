/** Parallel apply: the replicas run concurrently, until all have ended well or one has failed. */

import { ReplicaError } from '../errors.ts';
import type { ModuleInterface } from '../nn/module_interface.ts';
import { layerPathOf } from '../nn/replica.ts';
import type { MeetingPoint } from '../sync/meeting_point.ts';
import { whileReplicasRun } from '../tensor/concurrent_replicas.ts';
import { upcomingSerial } from '../tensor/serial.ts';
import { madeSince } from './structure.ts';

/**
 * Runs replica r with the r-th inputs.
 *
 * @param devices - their names, for errors.
 * @param meetingPoint - is told who has finished and who has failed.
 * @returns the outputs in order of replicas.
 * @throws ReplicaError for the replica that fails first, at once: another may take long, or for ever. The outputs of the others
 * are disposed, also of those that end later; what a late one does comes to nothing.
 */
export async function parallelApply(
  replicas: readonly ModuleInterface[],
  inputs: readonly (readonly unknown[])[],
  devices: readonly string[],
  meetingPoint: MeetingPoint | null,
): Promise<unknown[]> {
  const start = upcomingSerial();
  const runAll = async (): Promise<unknown[]> => {
    const runs = replicas.map(async (replica, r) => {
      try {
        const output = await call(replica, inputs[r] ?? []);
        meetingPoint?.finish(r);
        return output;
      } catch (error) {
        const failure = replicaError(r, devices[r] ?? 'unknown', error);
        meetingPoint?.fail(r, failure);
        throw failure;
      }
    });
    try {
      return await Promise.all(runs);
    } catch (error) {
      const discard = (output: unknown): void => madeSince(start, output).forEach((tensor) => tensor.dispose());
      runs.forEach((run) => void run.then(discard, () => undefined));
      throw error;
    }
  };
  return replicas.length > 1 ? whileReplicasRun(runAll) : runAll();
}

/** The error that tells the caller which replica failed; one that tells it already is kept. */
export function replicaError(replica: number, device: string, cause: unknown): ReplicaError {
  return new ReplicaError(replica, device, layerPathOf(cause), cause, hintFor(cause));
}

/** A module's forward takes what its class says; here only the class of the user knows. */
function call(module: ModuleInterface, inputs: readonly unknown[]): unknown {
  return (module as unknown as { forward(...inputs: readonly unknown[]): unknown }).forward(...inputs);
}

/** Texts of V8, SpiderMonkey and JavaScriptCore for an object that lacks the private fields of its class. */
const PRIVATE_FIELD = /private (member|field|method|element)|Receiver must be (an instance of )?class/i;

function hintFor(cause: unknown): string | null {
  return cause instanceof TypeError && PRIVATE_FIELD.test(cause.message)
    ? 'Replicas are shallow copies of modules, which #private fields do not survive: declare them `private` instead.'
    : null;
}
