/**
 * What travels between a worker device and its worker: commands one way, replies the other.
 *
 * A command is a call of a {@link Device} method, written as one line of JSON. Buffers are named by numbers that the
 * calling side hands out, so that it need not wait for an answer before it uses one; arrays travel beside the text.
 */

import type { Device } from './device.ts';

/** The methods of a device that travel. `read` is a `readRows`; `merge` and `details` need no memory of the device and stay at home. */
type DeviceOperation = Exclude<
  { [K in keyof Device]-?: Device[K] extends (...args: never[]) => unknown ? K : never }[keyof Device],
  'ready' | 'memoryUsage' | 'details' | 'read' | 'write' | 'merge' | 'copyOut'
>;

/** Commands of a group of workers; the worker answers to `confirm` when it has done all that came before. */
export type GroupOperation = 'join' | 'leave' | 'jointBatchNorm' | 'jointBatchNormBackward' | 'confirm';

/** Commands that take an array and give it back; see `worker_pieces.ts`. So does `writeRows`, when its end is awaited. */
type PieceOperation = 'readInto';

export type Operation = DeviceOperation | GroupOperation | PieceOperation;

/** Arrays whose contents travel as they are. */
export type Part = Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;

/** Memory that stays shared. */
export type SharedPart = Uint8Array<SharedArrayBuffer>;

/** What a worker is sent first. */
export interface WorkerStart {
  readonly name: string;
  readonly module: WebAssembly.Module;
  /** Memory of a {@link SharedSlot}; `null` where threads may share none. */
  readonly shared: SharedArrayBuffer | null;
}

/** The commands of one tick. */
export interface CommandMessage {
  /** One command per line: JSON of `[operation, ticket, ...args]`. */
  readonly lines: string;
  /** Arrays that the commands refer to by number; see `worker_codec.ts`. */
  readonly parts: readonly (Part | SharedPart)[];
}

/** The ticket of a command whose result nobody awaits. */
export const NO_TICKET = 0;

/** An error on its way between threads, which know nothing of each other's classes. */
export interface Failure {
  readonly name: string;
  readonly message: string;
  readonly bytesWanted?: number | undefined;
  readonly bytesInUse?: number | undefined;
}

/** How a command with a ticket has ended: with a value, or not, because an operation failed: its own or an earlier one. */
export type Answer =
  | { readonly ticket: number; readonly value: Part }
  | { readonly ticket: number; readonly operation: Operation; readonly failure: Failure };

/** Answers to the tickets of one message. */
export interface Reply {
  readonly answers: readonly Answer[];
  readonly bytesPooled: number;
  readonly bytesReserved: number;
  /** Which of its groups the worker has left, and why; told before the next command, since others wait. */
  readonly left?: { readonly group: number; readonly operation: Operation; readonly failure: Failure };
  /** What broke the worker for good, and what it was working on. */
  readonly lost?: { readonly operation: Operation | 'ready'; readonly shapes: string; readonly failure: Failure };
}
