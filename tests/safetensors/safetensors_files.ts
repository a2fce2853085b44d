/** The files that `golden/safetensors_files.py` has written, and files put together by hand. */

import { readJson } from '../golden/golden_data.ts';

/** A tensor as the golden file describes it; numbers that JSON has not are texts. */
interface ExpectedTensor {
  readonly shape: readonly number[];
  readonly values: readonly (number | string)[];
}

/** A file that Python has written. */
export interface PythonFile {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly metadata: Readonly<Record<string, string>>;
  /** What PyTorch reads from it, by name. */
  readonly expected: ReadonlyMap<string, ExpectedTensor | number | string>;
}

/** All of them. */
export function pythonFiles(): readonly PythonFile[] {
  const { files } = readJson('safetensors') as { readonly files: readonly Written[] };
  return files.map(({ name, base64, metadata, expected }) => ({
    name,
    bytes: Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)),
    metadata,
    expected: new Map(Object.entries(expected)),
  }));
}

interface Written {
  readonly name: string;
  readonly base64: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly expected: Readonly<Record<string, ExpectedTensor | number | string>>;
}

/** A file of a header, as JSON text or bytes, and of the bytes of the values. */
export function fileOf(
  header: string | Uint8Array,
  data: readonly number[] = [],
  length?: number | bigint,
): Uint8Array {
  const text = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + text.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length ?? text.length), true);
  bytes.set(text, 8);
  bytes.set(data, 8 + text.length);
  return bytes;
}
