/** Moving a module's memory to another device. */

import type { Device } from '../device/device.ts';
import type { Storage } from '../tensor/storage.ts';
import { copyTo } from '../tensor/storage_ops.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { refuseDuringForward } from './forward_passes.ts';
import type { ModuleInterface } from './module_interface.ts';

/**
 * Moves parameters, their gradients and buffers. The tensors stay the same objects, so optimizers that hold them stay
 * valid. Either everything moves or nothing. What changes while it is copied, such as running statistics by a forward pass, is
 * copied again: what arrives is the state at the end.
 * @throws ForwardInProgressError
 */
export async function moveModule(root: ModuleInterface, device: Device): Promise<void> {
  refuseDuringForward(root, 'to()');
  const moved = new Map<Tensor, Moved>();
  const isBehind = (tensor: Tensor): boolean =>
    tensor.storage.device !== device && moved.get(tensor)?.from !== tensor.storage;
  try {
    for (let left = [...tensorsOf(root)].filter(isBehind); left.length > 0; left = left.filter(isBehind)) {
      for (const tensor of left) {
        const from = tensor.storage;
        const copy = await copyTo(from, device);
        moved.get(tensor)?.to.release();
        moved.set(tensor, { from, to: copy });
      }
      left = [...tensorsOf(root)];
    }
    refuseDuringForward(root, 'to()');
  } catch (error) {
    moved.forEach(({ to }) => to.release());
    throw error;
  }
  for (const [tensor, { from, to }] of moved) {
    if (!tensor.isDisposed && tensor.storage === from) {
      tensor.replaceStorage(to);
    } else {
      // It has come to the device by another way, or is gone.
      to.release();
    }
  }
}

/** A tensor's memory and its copy on the other device. */
interface Moved {
  readonly from: Storage;
  readonly to: Storage;
}

function* tensorsOf(root: ModuleInterface): Generator<Tensor> {
  for (const parameter of root.parameters()) {
    yield parameter;
    if (parameter.grad !== null) {
      yield parameter.grad;
    }
  }
  yield* root.buffers();
}
