/** Replicate: copies of a module tree, one per device, that share everything but parameters and buffers. */

import type { Device } from '../device/device.ts';
import type { Module } from '../nn/module.ts';
import { adoptState, shallowCopy } from '../nn/module_copy.ts';
import { buffersKey, childrenOf, joinPath, parametersOf, refuseModulesInContainers } from '../nn/module_tree.ts';
import { placeReplica } from '../nn/replica.ts';
import type { MeetingPoint } from '../sync/meeting_point.ts';
import { Tensor } from '../tensor/tensor.ts';
import { allOrNone } from '../tensor/all_or_none.ts';
import { broadcast } from './broadcast.ts';

/** What the replicas of one forward pass have in common. */
interface Pass {
  isOver: boolean;
}

/** The replicas of one forward pass. */
export class Replicas {
  /** One copy of the root per device. */
  readonly roots: readonly Module[];
  /** Every module of the tree with its copies, in order of devices; parents first. */
  private readonly copies: ReadonlyMap<Module, readonly Module[]>;
  private readonly tensors: readonly Tensor[];
  private readonly pass: Pass;

  /** @internal */
  constructor(root: Module, copies: ReadonlyMap<Module, readonly Module[]>, tensors: readonly Tensor[], pass: Pass) {
    this.roots = copies.get(root) ?? [];
    this.copies = copies;
    this.tensors = tensors;
    this.pass = pass;
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
          await (copies[replica]?.onReplicate(context, replica) as unknown);
        } catch (error) {
          onFailure(error, replica);
        }
      }
    }
  }

  /** Gives the originals the buffers and counters of replica 0. Cannot fail. */
  commit(): void {
    this.copies.forEach((copies, original) => adoptState(original, copies));
  }

  /**
   * Gives back the copies of parameters and buffers, but for those that are part of the output; what the graph needs of them
   * stays until it is done. The layers of replicas refuse to be called from now on.
   */
  dispose(except: ReadonlySet<Tensor>): void {
    this.pass.isOver = true;
    this.tensors.filter((tensor) => !except.has(tensor)).forEach((tensor) => tensor.dispose());
  }
}

/**
 * Makes replicas. Parameters become broadcast copies, through which gradients flow back to the originals. The buffers of
 * the replica on the tensor's own device share memory with the original's until one changes; the others are copies.
 *
 * @param path - of the module, as errors shall name it.
 * @param meetingPoint - where synchronized layers meet; `null`: they do not.
 * @throws OutOfMemoryError; the copies that found room stay for the next time, as all copies do.
 */
export async function replicate(
  module: Module,
  path: string,
  devices: readonly Device[],
  meetingPoint: MeetingPoint | null,
): Promise<Replicas> {
  refuseModulesInContainers(module);
  const originals = [...new Set([...module.parameters(), ...module.buffers()])];
  const broadcasts = await allOrNone(
    originals.map(async (tensor) => [tensor, await broadcast(tensor, devices)] as const),
    ([, copies]) => copies.forEach((copy) => copy.dispose()),
  );
  const tensors = new Map(broadcasts);
  const names = devices.map((device) => device.name);
  const copies = new Map<Module, readonly Module[]>();
  const pass: Pass = { isOver: false };
  for (const [name, original] of module.namedModules()) {
    const place = { devices: names, path: name === '' ? path : joinPath(path, name), original, meetingPoint, pass };
    const replicas = devices.map((_, index) => {
      const copy = shallowCopy(original);
      placeReplica(copy, { ...place, index });
      return copy;
    });
    copies.set(original, replicas);
  }
  copies.forEach((replicas, original) =>
    wire(
      original,
      replicas,
      (child) => copies.get(child),
      (own) => tensors.get(own),
    ),
  );
  return new Replicas(module, copies, [...tensors.values()].flat(), pass);
}

/** Makes the copies of a module refer to the children, parameters and buffers of their own replicas. */
function wire(
  original: Module,
  replicas: readonly Module[],
  copiesOf: (child: Module) => readonly Module[] | undefined,
  tensorsOf: (tensor: Tensor) => readonly Tensor[] | undefined,
): void {
  for (const [name, child] of childrenOf(original)) {
    replicas.forEach((copy, r) => replaceProperty(copy, name, copiesOf(child)?.[r]));
  }
  for (const [name, parameter] of parametersOf(original)) {
    replicas.forEach((copy, r) => replaceProperty(copy, name, tensorsOf(parameter)?.[r]));
  }
  for (const [name, buffer] of original[buffersKey]) {
    if (buffer instanceof Tensor) {
      replicas.forEach((copy, r) => copy[buffersKey].set(name, tensorsOf(buffer)?.[r] ?? null));
    }
  }
}

function replaceProperty(copy: Module, name: string, value: unknown): void {
  Object.defineProperty(copy, name, { value, writable: true, enumerable: true, configurable: true });
}
