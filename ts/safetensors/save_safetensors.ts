/** Writing safetensors files. */

import { checkOptions, type KnownOptions } from '../check_options.ts';
import { describeValue } from '../describe_value.ts';
import { type StateDict, Tensor } from '../index.ts';
import { LENGTH_BYTES, METADATA_KEY } from './header.ts';

/** What {@link saveSafetensors} takes besides the state dict. */
export interface SaveSafetensorsOptions {
  /**
   * Texts that the file carries beside the tensors; default none. The Python package `transformers` wants `{ format: 'pt' }`
   * in files for PyTorch.
   */
  readonly metadata?: Readonly<Record<string, string>>;
}

const saveOptions: KnownOptions<SaveSafetensorsOptions> = { metadata: 'object' };

/**
 * The bytes of a safetensors file with a state dict, as `safetensors.torch.save` writes them.
 *
 * Tensors are F32, with their shapes and in logical order whatever their memory format. Numbers are of shape []: I64 where they are
 * integers, such as `num_batches_tracked`, else F64. What two modules share is written under both keys.
 *
 * @example
 * ```ts
 * import { saveSafetensors } from 'syncbn/safetensors';
 *
 * const bytes = await saveSafetensors(network.stateDict(), { metadata: { format: 'pt' } });
 * await writeFile('network.safetensors', bytes);
 * // In Python: model.load_state_dict(safetensors.torch.load_file('network.safetensors'))
 * ```
 *
 * @param stateDict - tensors and numbers by name, such as `module.stateDict()`; its values are those of the moment of the call.
 * @throws TypeError for other values, names that are no Unicode text and metadata that are no texts; DisposedError,
 * DeviceLostError.
 */
export async function saveSafetensors(
  stateDict: StateDict,
  options: SaveSafetensorsOptions = {},
): Promise<Uint8Array<ArrayBuffer>> {
  checkOptions('saveSafetensors()', options, saveOptions);
  const { metadata } = options;
  checkTexts(metadata ?? {});
  const reads = Object.entries(stateDict).map(async ([name, value]) => entryOf(name, value));
  const entries = (await Promise.all(reads)).sort(byTypeAndName);
  return fileOf(entries, metadata);
}

/** A value as it will lie in the file. */
interface Entry {
  readonly name: string;
  readonly dtype: 'I64' | 'F64' | 'F32';
  readonly shape: readonly number[];
  readonly values: BigInt64Array | Float64Array | Float32Array;
}

async function entryOf(name: string, value: unknown): Promise<Entry> {
  checkName(name);
  if (value instanceof Tensor) {
    return { name, dtype: 'F32', shape: value.shape, values: await value.data() };
  }
  if (typeof value !== 'number') {
    throw new TypeError(
      `saveSafetensors(): expected a Tensor or a number under the key ${JSON.stringify(name)}, got ${describeValue(value)}; give ` +
        `what stateDict() of a module returns`,
    );
  }
  // An integer would lose the sign of -0.
  return Number.isSafeInteger(value) && !Object.is(value, -0)
    ? { name, dtype: 'I64', shape: [], values: BigInt64Array.of(BigInt(value)) }
    : { name, dtype: 'F64', shape: [], values: Float64Array.of(value) };
}

function checkName(name: string): void {
  if (name === METADATA_KEY || /\p{Surrogate}/u.test(name)) {
    throw new TypeError(
      `saveSafetensors(): expected a name that is Unicode text other than ${METADATA_KEY}, got ${JSON.stringify(name)}; rename ` +
        `the property or buffer`,
    );
  }
}

function checkTexts(metadata: Readonly<Record<string, unknown>>): void {
  for (const [key, text] of Object.entries(metadata)) {
    if (typeof text !== 'string' || /\p{Surrogate}/u.test(key + text)) {
      const given = typeof text === 'string' ? JSON.stringify(text) : describeValue(text);
      throw new TypeError(
        `saveSafetensors(): expected metadata to be texts by name, got ${given} under ${JSON.stringify(key)}`,
      );
    }
  }
}

/** The order of the reference implementation: larger types first, so that all values are aligned, and then by name. */
function byTypeAndName(a: Entry, b: Entry): number {
  const order = ['I64', 'F64', 'F32'];
  return order.indexOf(a.dtype) - order.indexOf(b.dtype) || (a.name < b.name ? -1 : 1);
}

function fileOf(entries: readonly Entry[], metadata: SaveSafetensorsOptions['metadata']): Uint8Array<ArrayBuffer> {
  let end = 0;
  const infos = entries.map(({ name, dtype, shape, values }) => {
    const begin = end;
    end += values.byteLength;
    return [name, { dtype, shape, data_offsets: [begin, end] }] as const;
  });
  const text = jsonOf([...(metadata === undefined ? [] : [[METADATA_KEY, metadata] as const]), ...infos]);
  const header = new TextEncoder().encode(text);
  // Spaces at its end make the length of the header a multiple of 8, so that the values are aligned in the file.
  const headerLength = Math.ceil(header.length / LENGTH_BYTES) * LENGTH_BYTES;
  const file = new Uint8Array(LENGTH_BYTES + headerLength + end);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerLength), true);
  file.set(header, LENGTH_BYTES);
  file.fill(' '.charCodeAt(0), LENGTH_BYTES + header.length, LENGTH_BYTES + headerLength);
  let at = LENGTH_BYTES + headerLength;
  for (const { values } of entries) {
    file.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), at);
    at += values.byteLength;
  }
  return file;
}

/** An object in JSON, its members in the order given: an object of the language would put names such as `0` first. */
function jsonOf(members: readonly (readonly [name: string, value: object])[]): string {
  return `{${members.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',')}}`;
}
