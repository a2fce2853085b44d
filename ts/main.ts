/** What users import, whichever entry brings the WebAssembly. */

export type { ConversionReport, ConvertedModule, LeftModule } from './convert/conversion_report.ts';
export {
  type Converted,
  convertModel,
  type ConvertModel,
  type ConvertOptions,
  type Frozen,
  type Reverted,
} from './convert/convert_model.ts';
export type {
  Device,
  DeviceDetails,
  DeviceKind,
  DeviceName,
  EpsMode,
  GpuWork,
  MemoryFormat,
  MemoryUsage,
  Numerics,
  Traffic,
  WebGpuDevice,
} from './device/device.ts';
/** What tests and benchmarks of this project see of devices. @internal */
export { type Command, type DeviceBuffer, type DeviceGroup, type Reduction, STATISTICS_ROWS } from './device/device.ts';
export { type DeviceDescription, type DeviceOptions, devices, init } from './device/registry.ts';
export type { WebGpuOptions } from './device/webgpu_origin.ts';
export * from './errors.ts';
export {
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  type BatchNorm,
  type BatchNormOptions,
  type RunningVarMode,
} from './nn/batch_norm.ts';
export {
  FrozenBatchNorm1d,
  FrozenBatchNorm2d,
  FrozenBatchNorm3d,
  type FrozenBatchNorm,
  type FrozenBatchNormOptions,
} from './nn/frozen_batch_norm.ts';
export * as functional from './nn/functional.ts';
export { Module } from './nn/module.ts';
export { ModuleDict, type NamedModules } from './nn/module_dict.ts';
export { ModuleList } from './nn/module_list.ts';
export { reportToOriginal } from './nn/report.ts';
export { Sequential } from './nn/sequential.ts';
export type { LoadableStateDict, LoadStateDictOptions, LoadStateDictResult, StateDict } from './nn/state_dict_types.ts';
export {
  SynchronizedBatchNorm1d,
  SynchronizedBatchNorm2d,
  SynchronizedBatchNorm3d,
  type SynchronizedBatchNormOptions,
} from './nn/synchronized_batch_norm.ts';
export type { TensorModule } from './nn/tensor_module.ts';
export type { ProcessGroup } from './sync/process_group.ts';
export {
  DataParallel,
  type DataParallelOptions,
  DataParallelWithCallBack,
  patchReplicationCallback,
} from './parallel/data_parallel.ts';
export { empty, type NestedNumbers, tensor, type TensorDataOptions, type TensorOptions } from './tensor/create.ts';
export type { SplitSizes } from './parallel/split_sizes.ts';
export { defineFunction, type FunctionDefinition, type GradientResult } from './tensor/define_function.ts';
export type { FunctionContext } from './tensor/function_context.ts';
export {
  type GpuBufferOptions,
  type GpuBufferSource,
  tensorFromGPUBuffer,
  tensorFromGPUBufferSync,
  tensorsFromGPUBuffers,
} from './tensor/gpu_buffers.ts';
export {
  type GradientHook,
  type GradientPass,
  type HookedGradient,
  registerGradientHook,
} from './tensor/register_gradient_hook.ts';
export { isGradEnabled, noGrad } from './tensor/grad_mode.ts';
export { Parameter } from './tensor/parameter.ts';
export type { DataOptions, DataOrder } from './tensor/reading.ts';
export { scope } from './tensor/scope.ts';
export type { Shape } from './tensor/shape.ts';
export { Tensor } from './tensor/tensor.ts';
export type { ViewOptions } from './tensor/view.ts';
export type { TypedNumbers } from './typed_array.ts';
