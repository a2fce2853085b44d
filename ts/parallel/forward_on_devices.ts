/** The forward of a wrapper: scatter, replicate, parallel apply, gather. It is loaded with the first one. */

import type { Device } from '../device/device.ts';
import type { Module } from '../nn/module.ts';
import { tensorsOf, type TreeEntry } from '../nn/module_tree.ts';
import { MeetingPoint } from '../sync/meeting_point.ts';
import { upcomingSerial } from '../tensor/serial.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { gather } from './gather.ts';
import { parallelApply, replicaError } from './parallel_apply.ts';
import { replicate } from './replicate.ts';
import { scatter, type Scattered } from './scatter.ts';
import type { SplitSizes } from './split_sizes.ts';
import { StateSnapshot } from './state_snapshot.ts';
import { madeSince, tensorsIn } from './structure.ts';

/** What a wrapper runs, and where. */
export interface Distribution {
  readonly module: Module;
  /** Of the module; see `survey`. */
  readonly tree: readonly TreeEntry[];
  /** In order of replicas; the first holds the module. */
  readonly devices: readonly Device[];
  /** Where outputs are gathered. */
  readonly target: Device;
  /** The dimension that inputs are cut and outputs joined along. */
  readonly dim: number;
  /** `null`: equal shares. */
  readonly splitSizes: SplitSizes | null;
  /** Whether synchronized layers meet, and `onReplicate` is called. */
  readonly meets: boolean;
}

/**
 * Runs the module on its devices; with one device the module itself is called.
 * @throws as `DataParallel.forward`; the state is then what it was before.
 */
export async function forwardOnDevices(inputs: readonly unknown[], distribution: Distribution): Promise<unknown> {
  const { module, tree, devices, dim, splitSizes } = distribution;
  checkPlacement(tree, devices);
  await Promise.all(devices.map((device) => device.ready()));
  const scattered = await scatter(inputs, devices, dim, splitSizes);
  let output: unknown = null;
  try {
    output = await (devices.length === 1 ? callDirectly(module, scattered) : runReplicas(scattered, distribution));
  } finally {
    scattered.dispose(tensorsIn(output));
  }
  return output;
}

async function runReplicas(
  { inputs }: Scattered,
  { tree, devices, target, dim, meets }: Distribution,
): Promise<unknown> {
  const used = devices.slice(0, inputs.length);
  const names = used.map((device) => device.name);
  const meetingPoint = meets ? new MeetingPoint(names) : null;
  const replicas = await replicate(tree, 'module', used, meetingPoint);
  let output: unknown = null;
  try {
    if (meets) {
      await replicas.announce((error, r) => {
        throw replicaError(r, names[r] ?? 'unknown', error);
      });
    }
    const start = upcomingSerial();
    const outputs = await parallelApply(replicas.roots, inputs, names, meetingPoint);
    const finished = madeSince(start, outputs);
    try {
      if (meetingPoint !== null) {
        await confirm(meetingPoint);
      }
      await target.ready();
      output = await gather(outputs, target, dim);
      try {
        replicas.deliverReports();
      } catch (error) {
        disposeAll(tensorsIn(output), new Set());
        output = null;
        throw error;
      }
      replicas.commit();
    } finally {
      disposeAll(finished, tensorsIn(output));
    }
  } finally {
    replicas.dispose(tensorsIn(output));
  }
  return output;
}

/** Waits until the devices have done what they were given. @throws ReplicaError for the one that has failed */
async function confirm({ devices, groups }: MeetingPoint): Promise<void> {
  try {
    await Promise.all(Array.from(groups, (group) => group.confirm()));
  } catch (error) {
    const { device = 'unknown' } = error as { readonly device?: string };
    throw replicaError(Math.max(0, devices.indexOf(device)), device, error);
  }
}

function disposeAll(tensors: ReadonlySet<Tensor>, except: ReadonlySet<Tensor>): void {
  tensors.forEach((tensor) => (except.has(tensor) ? undefined : tensor.dispose()));
}

async function callDirectly(module: Module, { inputs }: Scattered): Promise<unknown> {
  const snapshot = new StateSnapshot(module);
  try {
    return await (module as unknown as { forward(...inputs: readonly unknown[]): unknown }).forward(
      ...(inputs[0] ?? []),
    );
  } catch (error) {
    snapshot.restore();
    throw error;
  } finally {
    snapshot.release();
  }
}

/** @throws RangeError unless parameters and buffers are on the first device; DeviceLostError when that has ended. */
function checkPlacement(tree: readonly TreeEntry[], devices: readonly Device[]): void {
  for (const tensor of tensorsOf(tree)) {
    const { lost } = tensor.storage.device;
    if (lost !== null) {
      throw lost;
    }
    if (tensor.storage.device !== devices[0]) {
      throw new RangeError(
        `module must have its parameters and buffers on device ${devices[0]?.name ?? 'none'} (deviceIds[0]) but found one of ` +
          `them on device: ${tensor.device}; move it with .to()`,
      );
    }
  }
}
