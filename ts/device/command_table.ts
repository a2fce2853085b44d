/**
 * Commands as numbers: a command crosses into WebAssembly and travels to a worker as its number in a table and a list of `words`, one
 * or several for each field of its row. Arrays stay beside the words. The way back, on a worker, is `worker_decoding.ts`.
 */

import type { PresentKind, Row } from './commands.ts';
import type { BatchLayout, ChannelRange, DeviceBuffer, Rows } from './device.ts';

/** Arrays that a command may carry. */
export type CommandArray = Uint8Array | Float32Array;

/** What stands for buffers and arrays among the words. */
export interface References {
  /** The number of a buffer that the command reads, from 1. @throws for one that it must not. */
  input(buffer: DeviceBuffer): number;
  /** The same of a buffer that the command writes. */
  output(buffer: DeviceBuffer): number;
  /** The number of an array, from 1. */
  array(array: CommandArray): number;
}

/** Stands for a buffer or an array that is absent. */
export const ABSENT = 0;
/** Stands for all channels: no range ends with 0. */
const ALL_CHANNELS: ChannelRange = [0, 0];

/** What the words 0 and 1 mean. */
export const choices = {
  flag: [false, true],
  numerics: ['stable', 'torch'],
  epsMode: ['plus', 'clamp'],
  format: ['contiguous', 'channels_last'],
} as const;

/** Words of a field. */
export const wordCounts: Readonly<Record<PresentKind, number>> = {
  input: 1,
  output: 1,
  inputRows: 3,
  outputRows: 3,
  number: 1,
  count: 1,
  flag: 1,
  numerics: 1,
  epsMode: 1,
  batch: 6,
  channels: 2,
  bytes: 1,
  values: 1,
  sharedBytes: 1,
};

export interface Field {
  readonly name: string;
  readonly kind: PresentKind;
}

interface CompiledRow {
  readonly number: number;
  readonly fields: readonly Field[];
  readonly wordCount: number;
}

/** A table, made ready for encoding and decoding. A command's number is the place of its row. */
export class CommandTable<Name extends string> {
  readonly names: readonly Name[];
  /** Words of the longest row. */
  readonly mostWords: number;
  readonly #rows: Readonly<Record<Name, CompiledRow>>;

  constructor(rows: Readonly<Record<Name, Row>>) {
    this.names = Object.keys(rows) as Name[];
    const compiled = this.names.map((name, number) => [name, compile(number, rows[name])] as const);
    this.#rows = Object.fromEntries(compiled) as Record<Name, CompiledRow>;
    this.mostWords = Math.max(...compiled.map(([, { wordCount }]) => wordCount));
  }

  numberOf(name: Name): number {
    return this.#rows[name].number;
  }

  fieldsOf(name: Name): readonly Field[] {
    return this.#rows[name].fields;
  }

  /** Words of a command. */
  wordCountOf(name: Name): number {
    return this.#rows[name].wordCount;
  }

  /**
   * Writes the words of a command from a place on.
   * @returns the place after the last of them.
   */
  encode(command: { readonly operation: Name }, words: Float64Array, place: number, references: References): number {
    const values = command as unknown as Readonly<Record<string, unknown>>;
    let at = place;
    for (const { name, kind } of this.#rows[command.operation].fields) {
      at = encodeField(kind, values[name], words, at, references);
    }
    return at;
  }

  /** What a command works on, as text: its batch, or else the values of the first buffer in its row. */
  describeWork(command: { readonly operation: Name }): string {
    const values = command as unknown as Readonly<Record<string, unknown>>;
    const { fields } = this.#rows[command.operation];
    const batch = fields.find(({ kind }) => kind === 'batch');
    if (batch !== undefined) {
      const { samples, channels, length, format } = values[batch.name] as BatchLayout;
      return `a batch of shape (N, C, L) = (${samples}, ${channels}, ${length}), ${format}`;
    }
    const buffer = fields.find(({ kind }) => kind === 'input' || kind === 'output');
    return `${buffer === undefined ? 0 : (values[buffer.name] as DeviceBuffer).length} values`;
  }
}

function compile(number: number, row: Row): CompiledRow {
  const fields = Object.entries(row).map(([name, kind]) => ({ name, kind: kind.replace('?', '') as PresentKind }));
  return { number, fields, wordCount: fields.reduce((sum, { kind }) => sum + wordCounts[kind], 0) };
}

/** @returns the place after the field. */
function encodeField(
  kind: PresentKind,
  value: unknown,
  words: Float64Array,
  at: number,
  references: References,
): number {
  const isAbsent = value === null || value === undefined;
  switch (kind) {
    case 'input':
      words[at] = isAbsent ? ABSENT : references.input(value as DeviceBuffer);
      return at + 1;
    case 'output':
      words[at] = isAbsent ? ABSENT : references.output(value as DeviceBuffer);
      return at + 1;
    case 'number':
    case 'count':
      words[at] = isAbsent ? Number.NaN : (value as number);
      return at + 1;
    case 'flag':
      words[at] = value === true ? 1 : 0;
      return at + 1;
    case 'numerics':
      words[at] = value === choices.numerics[1] ? 1 : 0;
      return at + 1;
    case 'epsMode':
      words[at] = value === choices.epsMode[1] ? 1 : 0;
      return at + 1;
    case 'batch': {
      const { samples, channels, length, format, part = ALL_CHANNELS } = value as BatchLayout;
      words[at] = samples;
      words[at + 1] = channels;
      words[at + 2] = length;
      words[at + 3] = format === choices.format[1] ? 1 : 0;
      words[at + 4] = part[0];
      words[at + 5] = part[1];
      return at + 6;
    }
    case 'channels': {
      const [first, end] = (value as ChannelRange | null | undefined) ?? ALL_CHANNELS;
      words[at] = first;
      words[at + 1] = end;
      return at + 2;
    }
    case 'inputRows':
    case 'outputRows': {
      const { buffer, offset, stride } = value as Rows;
      words[at] = kind === 'inputRows' ? references.input(buffer) : references.output(buffer);
      words[at + 1] = offset;
      words[at + 2] = stride;
      return at + 3;
    }
    case 'bytes':
    case 'values':
    case 'sharedBytes':
      words[at] = isAbsent ? ABSENT : references.array(value as CommandArray);
      return at + 1;
  }
}
