/** A search for damage that goes unnoticed: files are changed at random and read. */

import { type StateDict, Tensor } from 'syncbn';
import { loadSafetensors, SafetensorsError } from 'syncbn/safetensors';
import { expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { randomBits } from '../support/random.ts';
import { pythonFiles } from './safetensors_files.ts';

/** Pieces of headers, which say something else in another place. */
const pieces = [
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '"',
  '0',
  '8',
  '-',
  '.',
  'e',
  ' ',
  '\\',
  '\\u0078',
  'null',
  '"F32"',
  '"F16"',
  '"BOOL"',
];

/** Numbers below `limit`, in turn. */
function numbers(seed: number): (limit: number) => number {
  let drawn = 0;
  return (limit) => randomBits(seed, drawn++) % limit;
}

/** The bytes with one to four changes, most of them in the header. */
function damaged(bytes: Uint8Array, seed: number): Uint8Array {
  const draw = numbers(seed);
  const header = 8 + Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  let list = [...bytes];
  for (let changes = 1 + draw(4); changes > 0; changes--) {
    const at = draw(draw(4) === 0 ? Math.max(list.length, 1) : header);
    const piece = new TextEncoder().encode(pieces[draw(pieces.length)]);
    const copied = list.slice(draw(header), draw(header));
    const kinds: readonly (() => void)[] = [
      () => (list[at] = (list[at] ?? 0) ^ (1 << draw(8))),
      () => (list[at] = draw(256)),
      () => list.splice(at, 1 + draw(8)),
      () => list.splice(at, draw(3), ...piece),
      () => list.splice(at, piece.length, ...piece),
      () => list.splice(at, 0, ...copied),
      () => (list = list.slice(0, at)),
    ];
    kinds[draw(kinds.length)]?.();
    if (draw(2) === 0 && list.length >= 8) {
      // The length of the header follows what was put in or taken out, so that the change is not noticed by that alone.
      list.splice(
        0,
        8,
        ...new Uint8Array(BigUint64Array.of(BigInt(Math.max(0, header - 8 + list.length - bytes.length))).buffer),
      );
    }
  }
  return Uint8Array.from(list);
}

/** Whether what was read is what the header says, by the platform's reader of JSON and no check at all. */
async function expectAsWritten(bytes: Uint8Array, dict: StateDict): Promise<void> {
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as Record<string, Info>;
  const infos = Object.fromEntries(Object.entries(header).filter(([name]) => name !== '__metadata__'));
  expect(Object.keys(dict).sort()).toEqual(Object.keys(infos).sort());
  let covered = 0;
  for (const [
    name,
    {
      dtype,
      shape,
      data_offsets: [begin, end],
    },
  ] of Object.entries(infos)) {
    covered += end - begin;
    const value = Object.getOwnPropertyDescriptor(dict, name)?.value as unknown;
    if (value instanceof Tensor) {
      expect(value.shape).toEqual(shape);
      const given = await value.data();
      expect(given.length).toBe(shape.reduce((product, size) => product * size, 1));
      if (dtype === 'F32') {
        const stored = new Float32Array(bytes.slice(8 + length + begin, 8 + length + end).buffer);
        expectSameBits(given, stored, name);
      }
    } else {
      expect(shape).toEqual([]);
      expect(value).toBeTypeOf('number');
    }
  }
  expect(covered).toBe(bytes.length - 8 - length);
}

interface Info {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

it.each(pythonFiles().map(({ name, bytes }) => [name, bytes] as const))(
  'a_changed_file_is_refused_by_the_one_error_or_read_as_its_header_says: %s',
  async (_, bytes) => {
    let refused = 0;
    for (let seed = 0; seed < 500; seed++) {
      const changed = damaged(bytes, seed);
      let dict: StateDict;
      try {
        dict = loadSafetensors(changed);
      } catch (error) {
        expect(error, `seed ${seed}`).toBeInstanceOf(SafetensorsError);
        refused += 1;
        continue;
      }
      await expectAsWritten(changed, dict);
    }
    expect(refused).toBeGreaterThan(250);
  },
);
