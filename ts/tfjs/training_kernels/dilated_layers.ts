/**
 * `tf.layers.conv2d` calls a fused operation of tfjs, whose gradient refuses dilations by a check of its own that no registration reaches. Dilated
 * layers call the plain operations instead, which give the same values.
 */

import { add, conv2d, getBackend, serialization, type Tensor4D, tidy, transpose } from '@tensorflow/tfjs-core';
import { type Undo } from './registration.ts';

/** What is used of a layer of tfjs. */
interface Convolution {
  readonly activation: { apply(x: Tensor4D): Tensor4D } | null;
  readonly bias: Variable | null;
  readonly dataFormat: 'channelsFirst' | 'channelsLast';
  readonly dilationRate: [number, number];
  readonly kernel: Variable;
  readonly padding: 'valid' | 'same' | 'causal';
  readonly strides: [number, number];
}

interface Variable {
  read(): Tensor4D;
}

type Call = (this: Convolution, inputs: Tensor4D | Tensor4D[], kwargs: unknown) => Tensor4D;

/** Lets dilated `conv2d` layers have gradients on the backend; does nothing where tfjs-layers is not loaded. */
export function unfuseDilatedLayers(backendName: string): Undo[] {
  const layer = classOf('Conv2D')?.prototype as { call: Call } | undefined;
  if (layer === undefined) {
    return [];
  }
  // The class inherits the method: what stands in its place is removed.
  const own = Object.getOwnPropertyDescriptor(layer, 'call');
  const { call } = layer;
  layer.call = function (inputs, kwargs) {
    const isPlain = this.dilationRate.every((rate) => rate === 1) || this.padding === 'causal';
    return isPlain || getBackend() !== backendName ? call.call(this, inputs, kwargs) : unfused(this, [inputs].flat());
  };
  return [
    () => {
      if (own === undefined) Reflect.deleteProperty(layer, 'call');
      else Object.defineProperty(layer, 'call', own);
    },
  ];
}

/** What the layer computes, operation by operation. */
function unfused(layer: Convolution, [x, ...more]: Tensor4D[]): Tensor4D {
  if (x === undefined || more.length > 0) {
    throw new TypeError(`conv2d: expected one tensor, got ${more.length === 0 ? 'none' : more.length + 1}`);
  }
  const { activation, bias, dataFormat, dilationRate, kernel, padding, strides } = layer;
  return tidy(() => {
    const isFirst = dataFormat === 'channelsFirst';
    const images: Tensor4D = isFirst ? transpose(x, [0, 2, 3, 1]) : x;
    const pad = padding === 'same' ? 'same' : 'valid';
    const y = conv2d(images, kernel.read(), strides, pad, 'NHWC', dilationRate);
    const biased: Tensor4D = bias === null ? y : add(y, bias.read());
    const output: Tensor4D = isFirst ? transpose(biased, [0, 3, 1, 2]) : biased;
    return activation === null ? output : activation.apply(output);
  });
}

/** A class that tfjs-layers has registered. */
function classOf(name: string): { readonly prototype: object } | undefined {
  const { classNameMap } = serialization.SerializationMap.getMap();
  const known: Readonly<Record<string, readonly unknown[] | undefined>> = classNameMap;
  return known[name]?.[0] as { readonly prototype: object } | undefined;
}
