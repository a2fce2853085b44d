/**
 * What a worker can be told: the commands of a device, what manages its memory, and what concerns its groups. The numbers of buffers are
 * handed out by the calling side, so that it need not wait for an answer before it uses one.
 */

import { CommandTable } from './command_table.ts';
import { commands, reductions, type Row } from './commands.ts';
import type { CommandOf } from './device.ts';
import { groupCommands } from './group_commands.ts';

export const workerCommands = {
  ...commands,
  ...reductions,
  /** A buffer gets a number. */
  allocate: { buffer: 'number', length: 'number' },
  release: { buffer: 'number' },
  readRows: { source: 'inputRows', rowLength: 'number', rows: 'number' },
  /** The worker fills an array that it is lent, and gives it back. */
  readInto: { source: 'inputRows', rowLength: 'number', rows: 'number', values: 'values' },
  /** The worker gives the array back when the end of the command is awaited. */
  writeRows: { values: 'values', target: 'outputRows', rowLength: 'number', rows: 'number' },
  copyRows: { source: 'inputRows', target: 'outputRows', rowLength: 'number', rows: 'number' },
  /** A group gets a number, and memory in which its members exchange partials. */
  join: { group: 'number', memory: 'sharedBytes', rank: 'number', size: 'number', slotBytes: 'number' },
  leave: { group: 'number' },
  /** Answered when all that came before is done. */
  confirm: {},
  /** All members work on so many channels at a time, `width`; the last time there may be fewer. */
  jointBatchNorm: { group: 'number', width: 'number', ...groupCommands.jointBatchNorm },
  jointBatchNormBackward: { group: 'number', width: 'number', ...groupCommands.jointBatchNormBackward },
} as const satisfies Record<string, Row>;

export type Operation = keyof typeof workerCommands;

/** The command of an operation. */
export type WorkerCommand<Name extends Operation = Operation> = CommandOf<typeof workerCommands, Name>;

export const workerTable = new CommandTable<Operation>(workerCommands);

export function isCommand(command: WorkerCommand): command is WorkerCommand<keyof typeof commands> {
  return command.operation in commands;
}
