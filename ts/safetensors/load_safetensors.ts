/** Reading safetensors files. */

import { checkOptions, type KnownOptions } from '../check_options.ts';
import { describeValue } from '../describe_value.ts';
import { type StateDict, tensor, type Tensor } from '../index.ts';
import { uint8ArrayOf } from '../typed_array.ts';
import { readFile, type StoredTensor } from './header.ts';
import { SafetensorsError } from './safetensors_error.ts';

export interface LoadSafetensorsOptions {
  /** Name of the device that the tensors are made on; default `'cpu'`. */
  readonly device?: string;
}

const loadOptions: KnownOptions<LoadSafetensorsOptions> = { device: 'string' };

/**
 * Reads the state dict in the bytes of a safetensors file, as `safetensors.torch.load` does.
 *
 * What a value becomes follows from its dtype and shape:
 *
 * - One value of shape [] of an integer type, such as the counter `num_batches_tracked`, or of F64, is a number.
 * - F32, F16 and BF16 are tensors of f32, exactly; F64 is rounded to the nearest.
 * - Integers and BOOL of other shapes are tensors of f32, where f32 holds all of them exactly.
 *
 * All bytes are checked before the first tensor is made. The tensors are the caller's: they are freed by `dispose()` or by the end
 * of a `scope()`, since `loadStateDict()` copies their values.
 *
 * Source: https://github.com/huggingface/safetensors.
 *
 * @example
 * ```ts
 * import { loadSafetensors } from 'syncbn/safetensors';
 *
 * const response = await fetch('resnet50.safetensors');
 * const bytes = await response.arrayBuffer();
 * await scope(() => network.loadStateDict(loadSafetensors(bytes)));
 * ```
 *
 * @param bytes - of the whole file.
 * @throws SafetensorsError for bytes that are no safetensors file, are damaged, or hold types that f32 cannot stand for; TypeError
 * for what is no bytes; UnknownDeviceError, OutOfMemoryError. No tensor has been made then.
 */
export function loadSafetensors(bytes: Uint8Array | ArrayBuffer, options: LoadSafetensorsOptions = {}): StateDict {
  checkOptions('loadSafetensors()', options, loadOptions);
  const { tensors } = readFile(bytesOf(bytes, 'loadSafetensors()'));
  const values = tensors.map((stored) => [stored.name, valuesOf(stored)] as const);
  const made: Tensor[] = [];
  const place = (value: Values | number): Tensor | number => {
    if (typeof value === 'number') {
      return value;
    }
    const whole = tensor(value.values, value.shape, options);
    made.push(whole);
    return whole;
  };
  try {
    return Object.fromEntries(values.map(([name, value]) => [name, place(value)]));
  } catch (error) {
    made.forEach((whole) => whole.dispose());
    throw error;
  }
}

/**
 * The texts that a safetensors file carries beside its tensors, such as `{ format: 'pt' }`; empty where it has none.
 * @param bytes - of the whole file.
 * @throws SafetensorsError, TypeError, as {@link loadSafetensors}.
 */
export function safetensorsMetadata(bytes: Uint8Array | ArrayBuffer): Record<string, string> {
  return { ...readFile(bytesOf(bytes, 'safetensorsMetadata()')).metadata };
}

function bytesOf(given: unknown, where: string): Uint8Array<ArrayBuffer> {
  const isBuffer = Object.prototype.toString.call(given) === '[object ArrayBuffer]';
  const bytes = uint8ArrayOf(isBuffer ? new Uint8Array(given as ArrayBuffer) : given);
  if (bytes === null) {
    throw new TypeError(
      `${where}: expected the bytes of a file as a Uint8Array or an ArrayBuffer, got ${describeValue(given)}`,
    );
  }
  return bytes;
}

/** f32 values and their shape. */
interface Values {
  readonly values: Float32Array;
  readonly shape: readonly number[];
}

function valuesOf({ name, dtype, dtypeName, shape, bytes }: StoredTensor): Values | number {
  // A copy begins at an address that suits every type.
  const read = dtype.read(bytes.slice());
  if (shape.length === 0 && dtype.isNumber) {
    return numberOf(read[0], name, dtypeName);
  }
  const values = read instanceof Float32Array ? read : Float32Array.from(read as ArrayLike<number>, Number);
  if (dtype.isNumber && dtypeName !== 'F64') {
    const inexact = Array.from(values).findIndex((value, i) => value !== Number(read[i]));
    if (inexact >= 0) {
      throw new SafetensorsError(
        `safetensors: expected integers that f32 holds exactly in tensor ${JSON.stringify(name)}, got ${String(read[inexact])}; ` +
          `leave the tensor out when the file is written`,
      );
    }
  }
  return { values, shape };
}

/** @throws SafetensorsError for an integer that a number of JavaScript does not hold. */
function numberOf(value: number | bigint | undefined, name: string, dtypeName: string): number {
  const number = Number(value);
  if (dtypeName !== 'F64' && !Number.isSafeInteger(number)) {
    throw new SafetensorsError(
      `safetensors: expected an integer from -(2^53 - 1) to 2^53 - 1 in ${JSON.stringify(name)}, got ${String(value)}`,
    );
  }
  return number;
}
