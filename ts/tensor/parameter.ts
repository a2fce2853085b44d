/** Parameters: tensors that a module learns. */

import { describeValue } from '../describe_value.ts';
import { isTensor, Tensor } from './tensor.ts';

/**
 * A tensor that belongs to a module's parameters when it is one of its properties. Shares the memory of the tensor given,
 * which is disposed when it was donated.
 */
export class Parameter extends Tensor {
  /** @internal */
  static override readonly typeName: string = 'Parameter';

  /**
   * @param data - the initial values; the parameter lives outside every scope.
   * @param requiresGrad - whether it is trained; default `true`.
   */
  constructor(data: Tensor, requiresGrad = true) {
    if (!isTensor(data)) {
      throw new TypeError(
        `new Parameter(): expected a Tensor, got ${describeValue(data)}; make one with tensor(data, shape)`,
      );
    }
    if (typeof requiresGrad !== 'boolean') {
      throw new TypeError(
        `new Parameter(data, requiresGrad): expected requiresGrad to be a boolean, got ${describeValue(requiresGrad)}`,
      );
    }
    const { shape, memoryFormat } = data;
    super({ storage: data.storage.retain(), shape, memoryFormat, requiresGrad });
    this.keep();
    if (data.isDonated) {
      data.dispose();
    }
  }
}
