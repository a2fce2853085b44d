/** Replicate: copies of a module tree, one per device, that share everything but parameters and buffers. */

import type { Device } from '../device/device.ts';
import type { ModuleInterface } from '../nn/module_interface.ts';
import {
  adoptState,
  type Beginning,
  type BeginningTensor,
  type Counterparts,
  shallowCopies,
} from '../nn/module_copy.ts';
import {
  type Buffer,
  buffersKey,
  joinPath,
  refuseModulesInContainers,
  tensorsOf,
  type TreeEntry,
} from '../nn/module_tree.ts';
import type { ReplicaPlace, Report } from '../nn/replica.ts';
import type { MeetingPoint } from '../sync/meeting_point.ts';
import { Tensor } from '../tensor/tensor.ts';
import { allOrNone } from '../tensor/all_or_none.ts';
import { isThenable } from '../tensor/thenable.ts';
import { broadcast } from './broadcast.ts';

/** What the replicas of one forward pass have in common. */
interface Pass {
  isOver: boolean;
  readonly reports: Report[];
}

/** The replicas of one forward pass. */
export class Replicas {
  /** One copy of the root per device. */
  readonly roots: readonly ModuleInterface[];
  private readonly copies: ModuleCopies;
  /** By original. */
  private readonly tensors: ReadonlyMap<Tensor, readonly Tensor[]>;
  private readonly pass: Pass;
  private readonly beginning: Beginning;

  /** @internal */
  constructor(copies: ModuleCopies, tensors: ReadonlyMap<Tensor, readonly Tensor[]>, pass: Pass) {
    const [roots] = copies.values();
    this.roots = roots ?? [];
    this.copies = copies;
    this.tensors = tensors;
    this.pass = pass;
    this.beginning = beginningOf([...copies.keys()], (own) => tensors.get(own)?.[0]);
  }

  /**
   * Calls `onReplicate` on every copy, replica by replica: the j-th module of each gets the same context object.
   * @throws whatever a callback throws; `replica` tells in which.
   */
  async announce(onFailure: (error: unknown, replica: number) => never): Promise<void> {
    const contexts = Array.from(this.copies.values(), (copies) => ({ copies, context: {} }));
    for (const replica of this.roots.keys()) {
      for (const { copies, context } of contexts) {
        try {
          // Typed as synchronous, but an asynchronous override must not run on, nor fail, unnoticed.
          const result = copies[replica]?.onReplicate(context, replica) as unknown;
          if (isThenable(result)) {
            await result;
          }
        } catch (error) {
          onFailure(error, replica);
        }
      }
    }
  }

  /** Hands over what the replicas have reported. @throws what an `onReport` throws. */
  deliverReports(): void {
    for (const replica of this.roots.keys()) {
      for (const report of this.pass.reports.filter((one) => one.replica === replica)) {
        report.module.onReport(report.value, replica);
      }
    }
  }

  /** Gives the originals the buffers and counters of replica 0. Cannot fail. */
  commit(): void {
    this.copies.forEach((copies, original) => adoptState(original, copies, this.beginning));
  }

  /**
   * Gives back the copies of parameters and buffers, but for those that are part of the output; what the graph needs of them
   * stays until it is done. The layers of replicas refuse to be called from now on.
   */
  dispose(except: ReadonlySet<Tensor>): void {
    this.pass.isOver = true;
    for (const copies of this.tensors.values()) {
      for (const copy of copies) {
        if (!except.has(copy)) {
          copy.dispose();
        }
      }
    }
  }
}

/**
 * Makes replicas. Parameters become broadcast copies, through which gradients flow back to the originals. The buffers of
 * the replica on the tensor's own device share memory with the original's until one changes; the others are copies.
 *
 * @param tree - of the module, which comes first; see `survey`.
 * @param path - of the module, as errors shall name it.
 * @param meetingPoint - where synchronized layers meet; `null`: they do not.
 * @throws OutOfMemoryError; the copies that found room stay for the next time, as all copies do.
 */
export async function replicate(
  tree: readonly TreeEntry[],
  path: string,
  devices: readonly Device[],
  meetingPoint: MeetingPoint | null,
): Promise<Replicas> {
  refuseModulesInContainers(tree);
  const originals = tensorsOf(tree);
  const broadcasts = await allOrNone(
    originals.map((tensor) => attempt(tensor, devices)),
    (copies) => copies.forEach((copy) => copy.dispose()),
  );
  const tensors = new Map<Tensor, readonly Tensor[]>();
  originals.forEach((tensor, i) => tensors.set(tensor, broadcasts[i] ?? []));
  const pass: Pass = { isOver: false, reports: [] };
  const modules = copyTree(tree, path, tensors, { devices: devices.map(({ name }) => name), meetingPoint, pass });
  return new Replicas(modules, tensors, pass);
}

/** Every module of a tree with its copies, in order of devices; parents first. */
type ModuleCopies = ReadonlyMap<ModuleInterface, readonly ModuleInterface[]>;

/** @param common - what the places of all copies have in common. */
function copyTree(
  tree: readonly TreeEntry[],
  path: string,
  tensors: ReadonlyMap<Tensor, readonly Tensor[]>,
  common: Pick<ReplicaPlace, 'devices' | 'meetingPoint' | 'pass'>,
): ModuleCopies {
  const entries = new Map(tree.map((entry) => [entry.module, entry]));
  const copied = new Map<ModuleInterface, readonly ModuleInterface[]>();
  const counterparts: Counterparts = {
    tensor: (original, replica) => tensors.get(original)?.[replica] ?? null,
    module: (original, replica) => copiesOf(original)[replica] ?? null,
  };
  // A module that has several parents stands before some of them in the tree, and behind others.
  const copiesOf = (original: ModuleInterface): readonly ModuleInterface[] => {
    const known = copied.get(original);
    const entry = entries.get(original);
    if (known !== undefined || entry === undefined) {
      return known ?? [];
    }
    const ownPath = entry.path === '' ? path : joinPath(path, entry.path);
    const { devices, meetingPoint, pass } = common;
    // Written out: for each copy of each layer a spread would take longer than the rest.
    const places = devices.map((_, index) => ({ index, devices, path: ownPath, original, pass, meetingPoint }));
    const copies = shallowCopies(entry, places, counterparts);
    copied.set(original, copies);
    return copies;
  };
  return new Map(tree.map(({ module }) => [module, copiesOf(module)]));
}

/** A broadcast whose failure is a promise's, so that what else has begun is not forgotten. */
function attempt(tensor: Tensor, devices: readonly Device[]): Tensor[] | Promise<Tensor[]> {
  try {
    return broadcast(tensor, devices);
  } catch (error) {
    return Promise.resolve().then(() => {
      throw error;
    });
  }
}

function beginningOf(originals: readonly ModuleInterface[], copyOf: (own: Tensor) => Tensor | undefined): Beginning {
  const buffers = new Map<ModuleInterface, ReadonlyMap<string, Buffer>>();
  const tensors = new Map<Tensor, BeginningTensor>();
  for (const original of originals) {
    buffers.set(original, new Map(original[buffersKey]));
    for (const own of original[buffersKey].values()) {
      if (own instanceof Tensor) {
        const copy = copyOf(own);
        tensors.set(own, { copy, storage: (copy ?? own).storage, isShared: tensors.has(own) });
      }
    }
  }
  return { buffersOf: (module) => buffers.get(module) ?? new Map(), tensor: (own) => tensors.get(own) };
}
