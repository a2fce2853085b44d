/** Models and functions of TensorFlow.js on the devices of the library: the entry `syncbn/tfjs`. */

export { type FunctionOfTensors, type FunctionOfTf, tfFunction, type TfFunctionOptions } from './tfjs/tf_function.ts';
