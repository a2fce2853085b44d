/** Models and functions of TensorFlow.js on the devices of the library: the entry `syncbn/tfjs`. */

export { fromLayersModel, type FromLayersModelOptions, type LayersModule } from './tfjs/layers_module.ts';
export { registerTrainingKernels } from './tfjs/register_training_kernels.ts';
export { type FunctionOfTensors, type FunctionOfTf, tfFunction, type TfFunctionOptions } from './tfjs/tf_function.ts';
export { type TensorFlowLayers, useSyncbnLayers } from './tfjs/use_syncbn_layers.ts';
export { loadTorchWeights, type LoadTorchWeightsOptions } from './tfjs/torch_weights.ts';
