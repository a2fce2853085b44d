/** Commands from numbers: what `command_table.ts` has encoded, in a worker that has been sent it. */

import { ABSENT, choices, type CommandArray, wordCounts } from './command_table.ts';
import type { PresentKind } from './commands.ts';
import { type Operation, workerTable } from './worker_commands.ts';

/** What the numbers of buffers and arrays stand for. `Buffer` is whatever stands for a buffer. */
export interface Referents<Buffer> {
  buffer(number: number): Buffer;
  array(number: number): CommandArray | undefined;
}

/** The command whose fields begin at a place. What is absent is `null`. */
export function decodeCommand<Buffer>(
  operation: Operation,
  words: Float64Array,
  place: number,
  referents: Referents<Buffer>,
): { readonly operation: Operation } & Readonly<Record<string, unknown>> {
  const command: Record<string, unknown> & { operation: Operation } = { operation };
  let at = place;
  for (const { name, kind } of workerTable.fieldsOf(operation)) {
    command[name] = decodeField(kind, words, at, referents);
    at += wordCounts[kind];
  }
  return command;
}

/** The numbers of the buffers that a command writes. */
export function outputsOf(operation: Operation, words: Float64Array, place: number): number[] {
  const outputs: number[] = [];
  let at = place;
  for (const { kind } of workerTable.fieldsOf(operation)) {
    const number = words[at] ?? ABSENT;
    if ((kind === 'output' || kind === 'outputRows') && number !== ABSENT) {
      outputs.push(number);
    }
    at += wordCounts[kind];
  }
  return outputs;
}

function decodeField<Buffer>(
  kind: PresentKind,
  words: Float64Array,
  at: number,
  referents: Referents<Buffer>,
): unknown {
  const word = wordAt(words, at);
  switch (kind) {
    case 'input':
    case 'output':
      return word === ABSENT ? null : referents.buffer(word);
    case 'number':
    case 'count':
      // Of an optional number: absent. It is encoded as the same again.
      return word;
    case 'flag':
    case 'numerics':
    case 'epsMode':
      return choices[kind][word === 0 ? 0 : 1];
    case 'batch':
      return {
        samples: word,
        channels: wordAt(words, at + 1),
        length: wordAt(words, at + 2),
        format: choices.format[wordAt(words, at + 3) === 0 ? 0 : 1],
        part: [wordAt(words, at + 4), wordAt(words, at + 5)],
      };
    case 'channels':
      return [word, wordAt(words, at + 1)];
    case 'inputRows':
    case 'outputRows':
      return { buffer: referents.buffer(word), offset: wordAt(words, at + 1), stride: wordAt(words, at + 2) };
    case 'bytes':
    case 'values':
    case 'sharedBytes':
      return word === ABSENT ? null : referents.array(word);
  }
}

function wordAt(words: Float64Array, at: number): number {
  return words[at] ?? ABSENT;
}
