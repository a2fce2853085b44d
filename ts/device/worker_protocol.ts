/**
 * What travels between a worker device and its worker: commands one way, replies the other.
 *
 * A command is a list of numbers: that of its operation, its ticket, and then its fields (`command_table.ts`). Arrays travel beside the
 * numbers.
 */

import type { Operation } from './worker_commands.ts';

/** Arrays whose contents travel as they are. */
export type Part = Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;

/** Memory that stays shared. */
export type SharedPart = Uint8Array<SharedArrayBuffer>;

/** What a worker is sent first. */
export interface WorkerStart {
  readonly name: string;
  readonly module: WebAssembly.Module;
  /** Memory of a {@link SharedRing}; `null` where threads may share none. */
  readonly shared: SharedArrayBuffer | null;
  /** Threads that run at once. */
  readonly cores: number;
}

/** The commands of one tick. */
export interface CommandMessage {
  /** One after another. */
  readonly words: Float64Array;
  /** Arrays that the commands refer to by number, from 1. */
  readonly parts: readonly (Part | SharedPart)[];
}

/** Words before the fields of a command: its operation and its ticket. */
export const HEADER_WORDS = 2;

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
