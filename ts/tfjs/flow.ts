/** The values of one forward pass of a model. */

import type { Tensor } from '../index.ts';
import type { Value } from './graph.ts';
import { present } from './present.ts';

/** What has been computed and is still needed. */
export class Flow {
  readonly values = new Map<Value, Tensor>();
  /** Which time steps of a value count, as 1 and 0; absent where all do. */
  readonly masks = new Map<Value, Tensor>();

  get(value: Value): Tensor {
    return present(this.values.get(value), `the output of ${value.vertex.layer.name}`);
  }

  /** Gives the memory back that only this pass needs; the graph keeps what the backward pass needs. */
  free(value: Value): void {
    this.values.get(value)?.dispose();
    this.masks.get(value)?.dispose();
    this.values.delete(value);
    this.masks.delete(value);
  }

  /** Frees all values but these. */
  freeAllBut(kept: readonly Value[]): void {
    const values = [...this.values.keys()];
    values.filter((value) => !kept.includes(value)).forEach((value) => this.free(value));
  }
}
