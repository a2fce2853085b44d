/** Commands for a worker as they arrive there, from a calling side that is not there. */

import type { DeviceBuffer } from '../../ts/device/device.ts';
import { type Operation, type WorkerCommand, workerTable } from '../../ts/device/worker_commands.ts';
import { type CommandMessage, HEADER_WORDS, NO_TICKET, type Part } from '../../ts/device/worker_protocol.ts';

/** A buffer as the calling side knows it: by its number. */
export interface NamedBuffer extends DeviceBuffer {
  readonly number: number;
}

export function namedBuffer(number: number): NamedBuffer {
  return { number } as NamedBuffer;
}

/** Which commands the calling side awaits; their tickets are their places in the message, from 1. */
const awaited = new Set<Operation>(['readRows', 'moments', 'deviations', 'confirm']);

export function messageOf(commands: readonly WorkerCommand[]): CommandMessage {
  const parts: Part[] = [];
  const numberOf = (buffer: DeviceBuffer): number => (buffer as NamedBuffer).number;
  const references = { input: numberOf, output: numberOf, array: (array: unknown) => parts.push(array as Part) };
  const words = commands.flatMap((command, i) => {
    const { operation } = command;
    const encoded = new Float64Array(HEADER_WORDS + workerTable.wordCountOf(operation));
    encoded.set([workerTable.numberOf(operation), awaited.has(operation) ? i + 1 : NO_TICKET]);
    workerTable.encode(command, encoded, HEADER_WORDS, references);
    return [...encoded];
  });
  return { words: Float64Array.from(words), parts };
}
