/**
 * What the first bytes of a partial say: what it is of, and of how many channels. The rest of a partial is for the devices to
 * read; its format is that of `crates/core/src/partial/bytes.rs`.
 */

import { describeValue } from '../describe_value.ts';
import { PartialError } from '../errors.ts';
import { uint8ArrayOf } from '../typed_array.ts';

/** What partials are of, by their number in the header less one. */
const partialKinds = ['moments', 'total', 'deviations', 'sums'] as const;

/** What a partial is of. */
export type PartialKind = (typeof partialKinds)[number];

/** `SBN1` in ASCII, read as a little-endian number. */
const MARK = 0x31_4e_42_53;
const HEADER_BYTES = 40;
const [KIND_AT, CHANNELS_AT, LENGTH_AT, FIRST_AT, SAMPLES_AT] = [4, 8, 16, 24, 32];

/** What a function wants of a partial. */
export interface PartialWanted {
  /** The function and its argument, as errors name them. */
  readonly where: string;
  readonly kinds: readonly PartialKind[];
  /** C; absent: any. */
  readonly channels?: number;
}

/** @throws PartialError for what is no partial, or one of something else, or of another number of channels. */
export function checkPartial(partial: unknown, { where, kinds, channels }: PartialWanted): Uint8Array {
  const { bytes, kind, channels: given } = readPartial(partial, where);
  if (!kinds.includes(kind)) {
    throw new PartialError(`${where}: expected a partial of ${kinds.join(' or ')}, got one of ${kind}`);
  }
  if (channels !== undefined && given !== channels) {
    throw new PartialError(
      `${where}: expected a partial of ${channels} channels, as the tensors have, got one of ${given}; ` +
        `partials and tensors must come from one batch`,
    );
  }
  return bytes;
}

/** What a partial covers. */
export interface PartialRange {
  /** Global number of the first sample. */
  readonly first: number;
  readonly samples: number;
  /** L, values per sample and channel. */
  readonly length: number;
}

/** What a partial that has been checked covers. */
export function rangeOf({ buffer, byteOffset, byteLength }: Uint8Array): PartialRange {
  const view = new DataView(buffer, byteOffset, byteLength);
  const [length = 0, first = 0, samples = 0] = [LENGTH_AT, FIRST_AT, SAMPLES_AT].map((at) =>
    Number(view.getBigUint64(at, true)),
  );
  return { first, samples, length };
}

/** @throws PartialError unless there is at least one partial, and all are of the same thing and of as many channels. */
export function checkAlike(partials: unknown, where: string): readonly Uint8Array[] {
  if (!Array.isArray(partials) || partials.length === 0) {
    const given = Array.isArray(partials) ? 'an empty array' : describeValue(partials);
    throw new PartialError(`${where}: expected an array of at least one partial, got ${given}`);
  }
  // `map` passes over holes; `Array.from` reads them as `undefined`.
  const read = Array.from(partials, (partial: unknown) => readPartial(partial, where));
  const [first] = read;
  for (const [i, { kind, channels }] of read.entries()) {
    if (first !== undefined && (kind !== first.kind || channels !== first.channels)) {
      throw new PartialError(
        `${where}: expected partials that belong together, got ${first.kind} of ${first.channels} channels at 0 and ` +
          `${kind} of ${channels} channels at ${i}`,
      );
    }
  }
  return read.map(({ bytes }) => bytes);
}

interface Read {
  readonly bytes: Uint8Array;
  readonly kind: PartialKind;
  readonly channels: number;
}

function readPartial(partial: unknown, where: string): Read {
  const bytes = uint8ArrayOf(partial);
  if (bytes === null) {
    throw new PartialError(`${where}: expected a partial, which is a Uint8Array, got ${describeValue(partial)}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.byteLength < HEADER_BYTES || view.getUint32(0, true) !== MARK) {
    throw new PartialError(
      `${where}: expected a partial, got ${bytes.byteLength} bytes that do not begin with the mark of a partial`,
    );
  }
  const kind = partialKinds[view.getUint32(KIND_AT, true) - 1];
  const channels = Number(view.getBigUint64(CHANNELS_AT, true));
  if (kind === undefined) {
    throw new PartialError(`${where}: expected a partial, got bytes of an unknown kind`);
  }
  return { bytes, kind, channels };
}
