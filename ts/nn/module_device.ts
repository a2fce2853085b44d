/** Moving a module's memory to another device. */

import type { Device } from '../device/device.ts';
import type { Storage } from '../tensor/storage.ts';
import { copyTo } from '../tensor/storage_ops.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { Module } from './module.ts';

/**
 * Moves parameters, their gradients and buffers. The tensors stay the same objects, so optimizers that hold them stay
 * valid. Either everything moves or nothing.
 */
export async function moveModule(root: Module, device: Device): Promise<void> {
  const moved = new Map<Tensor, Storage>();
  try {
    for (const tensor of tensorsOf(root)) {
      if (tensor.storage.device !== device && !moved.has(tensor)) {
        moved.set(tensor, await copyTo(tensor.storage, device));
      }
    }
  } catch (error) {
    moved.forEach((storage) => storage.release());
    throw error;
  }
  moved.forEach((storage, tensor) => tensor.replaceStorage(storage));
}

function* tensorsOf(root: Module): Generator<Tensor> {
  for (const parameter of root.parameters()) {
    yield parameter;
    if (parameter.grad !== null) {
      yield parameter.grad;
    }
  }
  yield* root.buffers();
}
