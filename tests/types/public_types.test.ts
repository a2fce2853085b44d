/** What the compiler says of the public types: these tests pass when `npm run types` does, which sees what they expect. */

import {
  BatchNorm2d,
  convertModel,
  DataParallel,
  type DataParallelWithCallBack,
  type DataParallelOptions,
  type DeviceName,
  Module,
  type Sequential,
  SynchronizedBatchNorm2d,
  type Tensor,
  tensor,
  type TensorModule,
} from 'syncbn';
import { describe, expectTypeOf, it } from 'vitest';

class Two extends Module {
  async forward(x: Tensor, y: Tensor): Promise<[Tensor, Tensor]> {
    return Promise.resolve([x, y]);
  }
}

describe('a module and its wrapper', () => {
  it('are_called_alike', () => {
    type Either = BatchNorm2d | DataParallel<BatchNorm2d>;
    expectTypeOf<Either['forward']>().toBeCallableWith(tensor([1]));
    expectTypeOf<ReturnType<Either['forward']>>().toEqualTypeOf<Promise<Tensor>>();
    type EitherOfTwo = Two | DataParallel<Two> | DataParallelWithCallBack<Two>;
    expectTypeOf<EitherOfTwo['forward']>().parameters.toEqualTypeOf<[Tensor, Tensor]>();
    expectTypeOf<ReturnType<EitherOfTwo['forward']>>().toEqualTypeOf<Promise<[Tensor, Tensor]>>();
  });

  it('are_called_alike_by_generic_functions', () => {
    const step = async <M extends Two>(net: M | DataParallel<M>, x: Tensor): Promise<Tensor> =>
      (await net.forward(x, x))[0];
    expectTypeOf(step<Two>)
      .parameter(0)
      .toEqualTypeOf<Two | DataParallel<Two>>();
  });

  it('are_modules_of_one_tensor', () => {
    expectTypeOf<BatchNorm2d>().toExtend<TensorModule>();
    expectTypeOf<Sequential>().toExtend<TensorModule>();
    expectTypeOf<DataParallel<Sequential>>().toExtend<TensorModule>();
    expectTypeOf<Two>().not.toExtend<TensorModule>();
    expectTypeOf<TensorModule['forward']>().toBeCallableWith(tensor([1]));
  });

  it('of_a_wrapped_module_of_one_tensor_is_one', () => {
    expectTypeOf<DataParallel<TensorModule>>().toExtend<TensorModule>();
    expectTypeOf<DataParallel<TensorModule>['forward']>().returns.toEqualTypeOf<Promise<Tensor>>();
  });
});

describe('convertModel', () => {
  it('gives_the_class_of_what_it_gives', () => {
    expectTypeOf(convertModel(new BatchNorm2d(3))).toEqualTypeOf<SynchronizedBatchNorm2d>();
    expectTypeOf(convertModel(new DataParallel(new BatchNorm2d(3)))).toEqualTypeOf<
      DataParallelWithCallBack<SynchronizedBatchNorm2d>
    >();
    expectTypeOf(convertModel.revert(new SynchronizedBatchNorm2d(3))).toEqualTypeOf<BatchNorm2d>();
  });
});

describe('names of devices', () => {
  it('are_completed_and_may_be_computed', () => {
    expectTypeOf<'cpu'>().toExtend<DeviceName>();
    expectTypeOf<`webgpu:${number}`>().toExtend<DeviceName>();
    expectTypeOf<string>().toExtend<DeviceName>();
    expectTypeOf<number>().not.toExtend<DeviceName>();
    expectTypeOf<DataParallelOptions['deviceIds']>().toEqualTypeOf<readonly DeviceName[] | undefined>();
  });
});

describe('a tensor', () => {
  it('gives_its_values_in_the_array_that_it_is_given', () => {
    class Own extends Float32Array {}
    const x = tensor([1]);
    expectTypeOf(() => x.data()).returns.toEqualTypeOf<Promise<Float32Array>>();
    expectTypeOf(() => x.data(new Own(1))).returns.toEqualTypeOf<Promise<Own>>();
    expectTypeOf(() => x.dataSync(new Own(1))).returns.toEqualTypeOf<Own>();
  });
});
