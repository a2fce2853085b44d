/** Models and functions of TensorFlow.js on the devices of the library: the entry `syncbn/tfjs`. */

export type { SampleWeights } from './tfjs/batch.ts';
export type { CallbackLike, Callbacks } from './tfjs/callbacks.ts';
export type { ClassWeights, TensorsByName } from './tfjs/compiled_model.ts';
export { evaluate, type EvaluateArgs, predict } from './tfjs/evaluate.ts';
export { fit, type FitArgs, trainOnBatch, type TrainOnBatchArgs } from './tfjs/fit.ts';
export {
  type BatchIterator,
  type DatasetBatch,
  type DatasetLike,
  fitDataset,
  type FitDatasetArgs,
} from './tfjs/fit_dataset.ts';
export { fromLayersModel, type FromLayersModelOptions, type LayersModule } from './tfjs/layers_module.ts';
export { registerTrainingKernels } from './tfjs/register_training_kernels.ts';
export { type FunctionOfTensors, type FunctionOfTf, tfFunction, type TfFunctionOptions } from './tfjs/tf_function.ts';
export type { Network } from './tfjs/network.ts';
export type { StepReport, TrainingExtras } from './tfjs/training_loop.ts';
export type { Verbosity } from './tfjs/training_params.ts';
export { type TensorFlowLayers, useSyncbnLayers } from './tfjs/use_syncbn_layers.ts';
export { loadTorchWeights, type LoadTorchWeightsOptions } from './tfjs/torch_weights.ts';
