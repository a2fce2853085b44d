/** The state of a module tree at one moment, to go back to. */

import type { Module } from '../nn/module.ts';
import { type Buffer, buffersKey } from '../nn/module_tree.ts';
import type { Storage } from '../tensor/storage.ts';
import { Tensor } from '../tensor/tensor.ts';

/** Holds the buffers' memory until it is released; values are never written in place, so holding is enough. */
export class StateSnapshot {
  private readonly buffers: readonly (readonly [module: Module, name: string, value: Buffer])[];
  private readonly storages: ReadonlyMap<Tensor, Storage>;

  constructor(root: Module) {
    this.buffers = Array.from(root.modules(), (module) =>
      [...module[buffersKey]].map(([name, value]) => [module, name, value] as const),
    ).flat();
    const tensors = new Set(this.buffers.map(([, , value]) => value).filter((value) => value instanceof Tensor));
    this.storages = new Map(Array.from(tensors, (tensor) => [tensor, tensor.storage.retain()]));
  }

  /** Gives every module the buffers, values and counters it had. */
  restore(): void {
    this.buffers.forEach(([module, name, value]) => module[buffersKey].set(name, value));
    for (const [tensor, storage] of this.storages) {
      if (!tensor.isDisposed && tensor.storage !== storage) {
        tensor.replaceStorage(storage.retain());
      }
    }
  }

  release(): void {
    this.storages.forEach((storage) => storage.release());
  }
}
