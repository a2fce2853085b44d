/** Reads the golden files. `golden/README.md` describes them; `crates/core/tests/golden/data.rs` reads the same. */

import { assert } from 'vitest';
import { expectSameBits, hashBits } from '../support/bits.ts';
import { randomArray, type Distribution, type Edit } from '../support/random.ts';

/** A random array, described instead of stored. JSON has no NaN and no infinities: an edit may write them as text. */
export interface Spec extends Omit<Distribution, 'edits'> {
  readonly seed: number;
  readonly edits?: readonly (Omit<Edit, 'value'> & { readonly value: number | string })[];
}

/** `count` elements, of which every `stride`-th is stored from element `offset` of the file on; `hash` is that of all. */
export interface StoredArray {
  readonly count: number;
  readonly stride: number;
  readonly offset: number;
  readonly hash: number;
}

export type GradientName = 'dx' | 'dweight' | 'dbias';

/** What PyTorch gave for a step; `null` where the layer has no such array. */
export type ExpectedStep = Readonly<Record<'y' | 'dx', StoredArray>> &
  Readonly<Record<'running_mean' | 'running_var' | 'dweight' | 'dbias', StoredArray | null>> & {
    readonly num_batches_tracked: number | null;
    /** PyTorch's largest distance from an f64 run, by name. */
    readonly error: Readonly<Partial<Record<'y' | GradientName, number>>>;
  };

/** One call, forward and backward. */
export interface GoldenStep {
  readonly shape: readonly number[];
  readonly training: boolean;
  readonly x: Spec;
  readonly dy: Spec;
  /** `null`: the step is made, but nothing is stored of it. */
  readonly expected: ExpectedStep | null;
}

/** A layer, the state it begins with, and the batches it sees one after the other. */
export interface GoldenCase {
  readonly name: string;
  readonly kind: 'BatchNorm1d' | 'BatchNorm2d' | 'BatchNorm3d';
  readonly num_features: number;
  readonly options: {
    readonly eps: number;
    readonly momentum: number | null;
    readonly affine: boolean;
    readonly bias: boolean;
    readonly track_running_stats: boolean;
  };
  readonly initial: Readonly<Partial<Record<'weight' | 'bias' | 'running_mean' | 'running_var', Spec>>>;
  readonly untracked_afterwards: boolean;
  readonly non_finite: boolean;
  readonly steps: readonly GoldenStep[];
}

/** The stored values of a file. */
export class GoldenValues {
  readonly #values: Float32Array;

  constructor(values: Float32Array) {
    this.#values = values;
  }

  /** Fails unless all elements have the bits of the stored array. */
  expectBits(actual: Float32Array, stored: StoredArray, label: string): void {
    const [ofStored, expected] = this.storedElements(actual, stored, label);
    expectSameBits(ofStored, expected, label);
    assert.strictEqual(hashBits(actual), stored.hash, `${label}: hash of all elements, also of those not stored`);
  }

  /** Those elements of `actual` whose counterparts are stored, and their counterparts. */
  storedElements(actual: Float32Array, stored: StoredArray, label: string): [Float32Array, Float32Array] {
    assert.strictEqual(actual.length, stored.count, `${label}: number of elements`);
    const elements = actual.filter((_, i) => i % stored.stride === 0);
    return [elements, this.#values.subarray(stored.offset, stored.offset + elements.length)];
  }
}

/** The cases of `golden/data/<name>`. */
export function readSuite(name: string): { cases: readonly GoldenCase[]; values: GoldenValues } {
  const { cases } = readJson(name) as { cases: readonly GoldenCase[] };
  return { cases, values: readValues(name) };
}

/**
 * The files, by their paths. Vite puts them into the program, so that a test has them where there is no file system, and
 * whenever it asks: the names of tests come from them.
 */
const jsonFiles = import.meta.glob<string>('/golden/data/*.json', { eager: true, query: '?raw', import: 'default' });
const binFiles = import.meta.glob<string>('/golden/data/*.bin', {
  eager: true,
  query: '?url&inline',
  import: 'default',
});

/** What stands in `golden/data/<name>.json`, checked by nothing but the tests that read it. */
export function readJson(name: string): unknown {
  return JSON.parse(existing(jsonFiles, `${name}.json`));
}

/** The values of `golden/data/<name>.bin`. */
export function readValues(name: string): GoldenValues {
  // A `data:` URL: what follows the comma is in base64.
  const [, base64 = ''] = existing(binFiles, `${name}.bin`).split(',');
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  return new GoldenValues(new Float32Array(bytes.buffer));
}

/** The array that a spec describes. */
export function arrayOf(spec: Spec, count: number): Float32Array {
  const { seed, edits = [], ...distribution } = spec;
  const numeric = edits.map((edit) => ({ ...edit, value: Number(edit.value) }));
  return randomArray(seed, count, { ...distribution, edits: numeric });
}

function existing(files: Readonly<Record<string, string>>, name: string): string {
  const content = files[`/golden/data/${name}`];
  if (content === undefined) throw new Error(`there is no golden/data/${name}`);
  return content;
}
