/** Modules one after another. */

import type { Tensor } from '../tensor/tensor.ts';
import { checkModule } from './check_module.ts';
import { Module } from './module.ts';
import { childrenOf } from './module_tree.ts';

interface TensorLayer {
  forward(x: Tensor): Promise<Tensor>;
}

/**
 * Calls its modules in turn, each with the result of the one before. They are its children `0`, `1`, …
 *
 * A result between two layers of this library is disposed, since nobody else can hold it; the graph keeps what it needs. What a
 * module of yours has taken or given stays, since that module may hold it: dispose of it there, or put the step inside `scope()`.
 */
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
    // Whether the value was made by a layer of this library and seen by nobody else.
    let isOurs = false;
    for (const [, module] of childrenOf(this)) {
      const input = value;
      const mayKeep = module.mayKeepTensors();
      const disposes = isOurs && !mayKeep;
      try {
        // What a child takes and gives is known only when it runs.
        value = await (module as unknown as TensorLayer).forward(input);
      } catch (error) {
        if (disposes) {
          input.dispose();
        }
        throw error;
      }
      const isNew = value !== input;
      if (disposes && isNew) {
        input.dispose();
      }
      isOurs = !mayKeep && (isNew || isOurs);
    }
    return value;
  }

  /** @internal */
  override mayKeepTensors(): boolean {
    return (
      this.forward !== Sequential.prototype.forward || childrenOf(this).some(([, child]) => child.mayKeepTensors())
    );
  }
}
