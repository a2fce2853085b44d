/**
 * The layout of a safetensors file, read and checked before anything is made of its values:
 *
 *   8 bytes   N, the length of the header, a little-endian integer
 *   N bytes   the header, JSON: by name `{ "dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24] }`, and under `__metadata__`
 *             texts by name
 *   the rest  the values; offsets count from its beginning, and the tensors fill it without gaps and overlaps
 *
 * Source: https://github.com/huggingface/safetensors#format.
 */

import { describeValue } from '../describe_value.ts';
import { type Dtype, dtypeOf } from './dtype.ts';
import { SafetensorsError } from './safetensors_error.ts';

/** Bytes of N, which the offsets do not count. */
export const LENGTH_BYTES = 8;

/** The longest header, in bytes, that the reference implementation reads. */
const MAX_HEADER_BYTES = 100_000_000;

/** The key that is no tensor's. */
export const METADATA_KEY = '__metadata__';

/** One tensor of a file, checked. */
export interface StoredTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly dtypeName: string;
  readonly shape: readonly number[];
  /** Its values, in row-major order. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** A file that is whole. */
export interface StoredFile {
  /** In the order of the header. */
  readonly tensors: readonly StoredTensor[];
  readonly metadata: Readonly<Record<string, string>>;
}

/** @throws SafetensorsError for the first thing that is wrong. */
export function readFile(bytes: Uint8Array<ArrayBuffer>): StoredFile {
  const text = headerText(bytes);
  const { [METADATA_KEY]: metadata, ...infos } = parseHeader(text);
  const data = bytes.subarray(LENGTH_BYTES + headerLength(bytes));
  const tensors = Object.entries(infos).map(([name, info]) => readInfo(name, info, data));
  checkCoverage(tensors, data);
  return { tensors, metadata: checkMetadata(metadata ?? {}) };
}

/** N, which is not checked against the length of the file. */
function headerLength({ buffer, byteOffset }: Uint8Array): number {
  return Number(new DataView(buffer, byteOffset, LENGTH_BYTES).getBigUint64(0, true));
}

function headerText(bytes: Uint8Array): string {
  if (bytes.length < LENGTH_BYTES) {
    refuse(`expected at least ${LENGTH_BYTES} bytes, which tell the length of the header, got ${bytes.length}`);
  }
  const length = headerLength(bytes);
  if (length > MAX_HEADER_BYTES) {
    refuse(`expected a header of at most ${MAX_HEADER_BYTES} bytes, got one of ${length}`);
  }
  if (length > bytes.length - LENGTH_BYTES) {
    refuse(`expected a header of ${length} bytes, got ${bytes.length - LENGTH_BYTES} bytes after its length`);
  }
  try {
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    // A copy, since browsers decode no memory that threads share.
    return decoder.decode(bytes.slice(LENGTH_BYTES, LENGTH_BYTES + length));
  } catch (error) {
    return refuse('expected a header in UTF-8, got bytes that are none', error);
  }
}

function parseHeader(text: string): Readonly<Record<string, unknown>> {
  if (!text.startsWith('{')) {
    refuse(`expected a header that begins with {, got ${show(text.slice(0, 1))}`);
  }
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (error) {
    refuse('expected a header in JSON, got text that does not parse', error);
  }
  checkTokens(text);
  // Text that begins with { parses as an object.
  return header as Readonly<Record<string, unknown>>;
}

/**
 * Looks for what `JSON.parse` accepts and the format does not: a key twice in one object, of which it takes the last, and numbers
 * that are not written as digits.
 * @param json - text that parses.
 */
function checkTokens(json: string): void {
  const open: Set<string>[] = [];
  for (const [token, text, colon] of json.matchAll(/("(?:[^"\\]|\\.)*")\s*(:?)|[{}]|-?\d[-+.\deE]*/g)) {
    if (token === '{') {
      open.push(new Set());
    } else if (token === '}') {
      open.pop();
    } else if (text === undefined) {
      if (!/^\d+$/.test(token)) {
        refuse(`expected numbers that are non-negative integers, got ${token}`);
      }
    } else if (colon === ':') {
      const key = JSON.parse(text) as string;
      const keys = open.at(-1);
      if (keys?.has(key) === true) {
        refuse(`expected every key once, got ${text} twice`);
      }
      if (/\p{Surrogate}/u.test(key)) {
        refuse(`expected keys that are Unicode text, got ${text}`);
      }
      keys?.add(key);
    }
  }
}

function readInfo(name: string, info: unknown, data: Uint8Array<ArrayBuffer>): StoredTensor {
  const tensor = `tensor ${show(name)}`;
  if (!isRecord(info)) {
    return refuse(`expected an object that describes ${tensor}, got ${show(info)}`);
  }
  const dtype = dtypeOf(info['dtype'], tensor);
  const { shape, data_offsets: offsets } = info;
  if (!isListOfIntegers(shape)) {
    return refuse(`expected the shape of ${tensor} to be an array of non-negative integers, got ${show(shape)}`);
  }
  if (!isListOfIntegers(offsets) || offsets.length !== 2) {
    return refuse(`expected the data_offsets of ${tensor} to be two non-negative integers, got ${show(offsets)}`);
  }
  const [begin = 0, end = 0] = offsets;
  // Too large a product is rounded, and is then no length that any file has.
  const length = shape.reduce((product, size) => product * size, dtype.size);
  if (end - begin !== length || !Number.isSafeInteger(length)) {
    refuse(
      `expected ${tensor} of dtype ${show(info['dtype'])} and shape ${show(shape)} to fill ${length} bytes, got data_offsets ${show(offsets)}`,
    );
  }
  if (end > data.length) {
    refuse(`expected ${tensor} to end within the ${data.length} bytes of data, got data_offsets ${show(offsets)}`);
  }
  return { name, dtype, dtypeName: String(info['dtype']), shape, bytes: data.subarray(begin, end) };
}

/**
 * The tensors may stand in the header in any order, but their values must lie end to end.
 * @param data - all values.
 */
function checkCoverage(tensors: readonly StoredTensor[], data: Uint8Array): void {
  const inOrder = tensors
    .map(({ name, bytes }) => ({ name, begin: bytes.byteOffset - data.byteOffset, length: bytes.length }))
    .sort((a, b) => a.begin - b.begin || a.length - b.length);
  let end = 0;
  for (const { name, begin, length } of inOrder) {
    if (begin !== end) {
      refuse(
        `expected the values of tensor ${show(name)} to begin where those before them end, at byte ${end}, got byte ${begin}`,
      );
    }
    end += length;
  }
  if (end !== data.length) {
    refuse(`expected the tensors to fill all ${data.length} bytes after the header, got tensors of ${end} bytes`);
  }
}

function checkMetadata(metadata: unknown): Readonly<Record<string, string>> {
  if (!isRecord(metadata) || Object.values(metadata).some((value) => typeof value !== 'string')) {
    return refuse(`expected ${METADATA_KEY} to be an object of texts, got ${show(metadata)}`);
  }
  return metadata as Readonly<Record<string, string>>;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isListOfIntegers(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && (item as number) >= 0);
}

/** A part of a header as it is written there, shortened; what is nested may be nested deeper than can be written. */
function show(value: unknown): string {
  const isNested = Object.values(value ?? {}).some((item) => typeof item === 'object');
  const text = isNested ? describeValue(value) : JSON.stringify(value ?? null);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

function refuse(problem: string, cause?: unknown): never {
  throw new SafetensorsError(
    `safetensors: ${problem}; the bytes are no safetensors file, or were damaged or cut off on their way: get them again`,
    cause === undefined ? undefined : { cause },
  );
}
