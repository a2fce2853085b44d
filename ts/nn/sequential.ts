/** Modules one after another. */

import type { Tensor } from '../tensor/tensor.ts';
import { checkModule } from './check_module.ts';
import { Module } from './module.ts';
import { childrenOf } from './module_tree.ts';

interface TensorLayer {
  forward(x: Tensor): Promise<Tensor>;
}

/** Calls its modules in turn, each with the result of the one before. They are its children `0`, `1`, … */
export class Sequential extends Module {
  static readonly typeName: string = 'Sequential';

  /** @throws TypeError for what is no module. */
  constructor(...modules: readonly Module[]) {
    super();
    modules.forEach((module, i) => checkModule('Sequential', module, i));
    Object.assign(this, modules);
  }

  async forward(x: Tensor): Promise<Tensor> {
    let value = x;
    for (const [, module] of childrenOf(this)) {
      // What a child takes and gives is known only when it runs.
      value = await (module as unknown as TensorLayer).forward(value);
    }
    return value;
  }
}
