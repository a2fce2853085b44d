/**
 * The queue of commands for one worker: those of one tick travel in one message, results come back by ticket. A command whose
 * result is awaited sets off at once, with those that wait for the end of the tick; so do many of them.
 *
 * A queue ends once: then everything pending is rejected with one error, and whatever is asked later throws the same.
 */

import { CommandError, DeviceLostError, OutOfMemoryError, PartialError } from '../errors.ts';
import type { References } from './command_table.ts';
import type { DeviceBuffer, Traffic } from './device.ts';
import { atEndOfTick } from '../end_of_tick.ts';
import { type Operation, type WorkerCommand, workerTable } from './worker_commands.ts';
import { openWorker, type WorkerLink } from './worker_host.ts';
import {
  type Answer,
  type Failure,
  HEADER_WORDS,
  NO_TICKET,
  type Part,
  type Reply,
  type SharedPart,
  type WorkerStart,
} from './worker_protocol.ts';
import { isShared } from './worker_ring.ts';

/** What a queue must be told of its device. */
export interface QueueOwner {
  /** The number of a buffer. @throws for one that is not a buffer in use of the device. */
  readonly numberOf: (buffer: DeviceBuffer) => number;
  /** The worker takes no part any more in a group, or in any, for it is lost. Whatever is pending has been rejected then. */
  readonly onLeft: (group: number | null, error: Error) => void;
  /** Why the latest group that has ended did: the true cause of what fails here because of that. */
  readonly groupFailure: () => Error | null;
}

/**
 * Starts a worker.
 * @param url - where its program lies; `null`: it is brought along.
 * @throws what the platform throws when it allows no worker.
 */
export async function openQueue(
  start: Pick<WorkerStart, 'name' | 'module'>,
  url: string | null,
  owner: QueueOwner,
): Promise<WorkerQueue> {
  return new WorkerQueue(start.name, await openWorker(start, url), owner);
}

/** So many commands are enough to keep a worker busy while the next ones are given. */
const MOST_WAITING = 32;
/** Room for so many commands of usual length; where they are longer, more is made. */
const INITIAL_WORDS = MOST_WAITING * 16;

/** Who awaits a ticket, and what for. */
interface Pending {
  readonly operation: Operation;
  readonly resolve: (value: Part) => void;
  readonly reject: (error: Error) => void;
}

export class WorkerQueue {
  readonly #device: string;
  readonly #link: WorkerLink;
  readonly #owner: QueueOwner;
  readonly #pending = new Map<number, Pending>();
  #tickets = NO_TICKET;
  /** Commands that wait for the next message: how many, and their words, from the first on. */
  #waiting = 0;
  #words = new Float64Array(INITIAL_WORDS);
  #wordCount = 0;
  #parts: (Part | SharedPart)[] = [];
  #transfer: ArrayBuffer[] = [];
  /** Whether the worker must be woken for what waits. */
  #isUrgent = false;
  /** Whether the result of one of those that wait is awaited. */
  #isAwaited = false;
  readonly #references: References;
  #lost: DeviceLostError | null = null;
  #messages = 0;
  #bytes = 0;
  #bytesPooled = 0;
  #bytesReserved = 0;

  /** @param device - its name, for errors. */
  constructor(device: string, link: WorkerLink, owner: QueueOwner) {
    this.#device = device;
    this.#link = link;
    this.#owner = owner;
    this.#references = {
      input: owner.numberOf,
      output: owner.numberOf,
      array: (array) => this.#parts.push(array as Part),
    };
    link.listen(
      (reply) => this.#receive(reply),
      (cause) => void this.lose(null, { cause }),
    );
  }

  /** What has travelled so far. */
  get traffic(): Traffic {
    return { messages: this.#messages, bytes: this.#bytes };
  }

  /** What the worker's memory looked like with the latest reply. */
  get reserves(): Pick<Reply, 'bytesPooled' | 'bytesReserved'> {
    return { bytesPooled: this.#bytesPooled, bytesReserved: this.#bytesReserved };
  }

  /** Why nothing more can be asked. */
  get lost(): DeviceLostError | null {
    return this.#lost;
  }

  /**
   * Gives a command whose result nobody awaits.
   * @param transfer - memory of the command that is given away.
   */
  send(command: WorkerCommand, transfer?: ArrayBuffer): void {
    this.#enqueue(command, NO_TICKET, transfer);
  }

  /**
   * Gives a command and awaits its result.
   * @param transfer - memory of the command that is lent, or given away.
   */
  ask(command: WorkerCommand, transfer?: ArrayBuffer): Promise<Part> {
    return new Promise((resolve, reject) => {
      const ticket = this.#tickets + 1;
      this.#enqueue(command, ticket, transfer);
      this.#tickets = ticket;
      if (this.#pending.size === 0) {
        this.#link.hold();
      }
      this.#pending.set(ticket, { operation: command.operation, resolve, reject });
    });
  }

  /** Ends the worker. */
  lose(
    operation: Operation | 'ready' | 'close' | null,
    options: { readonly cause: unknown; readonly shapes?: string },
  ): Promise<void> {
    if (this.#lost === null) {
      const [first] = this.#pending.values();
      const error = new DeviceLostError(this.#device, operation ?? first?.operation ?? 'a pause', options);
      this.#lost = error;
      this.#pending.forEach(({ reject }) => reject(error));
      this.#pending.clear();
      this.#clear();
      this.#owner.onLeft(null, error);
    }
    return this.#link.terminate();
  }

  #enqueue(command: WorkerCommand, ticket: number, transfer?: ArrayBuffer): void {
    if (this.#lost !== null) {
      throw this.#lost;
    }
    const begin = this.#wordCount;
    this.#makeRoom(begin + HEADER_WORDS + workerTable.mostWords);
    this.#words[begin] = workerTable.numberOf(command.operation);
    this.#words[begin + 1] = ticket;
    this.#wordCount = workerTable.encode(command, this.#words, begin + HEADER_WORDS, this.#references);
    if (transfer !== undefined) {
      this.#transfer.push(transfer);
    }
    this.#waiting += 1;
    this.#isAwaited ||= ticket !== NO_TICKET;
    this.#isUrgent ||= !isForMemory(command);
    if (ticket !== NO_TICKET || this.#waiting === MOST_WAITING) {
      queueMicrotask(() => this.#flush());
    } else if (this.#waiting === 1) {
      atEndOfTick(() => {
        this.#flush();
        this.#link.endTick();
      });
    }
  }

  #makeRoom(words: number): void {
    if (words > this.#words.length) {
      const longer = new Float64Array(2 * words);
      longer.set(this.#words);
      this.#words = longer;
    }
  }

  #flush(): void {
    if (this.#waiting === 0) {
      return;
    }
    const message = { words: this.#words.subarray(0, this.#wordCount), parts: this.#parts };
    const [transfer, isUrgent, isAwaited] = [this.#transfer, this.#isUrgent, this.#isAwaited];
    this.#clear();
    this.#count(message.words.byteLength, message.parts);
    this.#link.post(message, transfer, isUrgent, isAwaited);
  }

  #clear(): void {
    this.#waiting = 0;
    this.#wordCount = 0;
    this.#parts = [];
    this.#transfer = [];
    this.#isUrgent = false;
    this.#isAwaited = false;
  }

  #receive(reply: Reply): void {
    const { answers, bytesPooled, bytesReserved, left, lost } = reply;
    this.#bytesPooled = bytesPooled;
    this.#bytesReserved = bytesReserved;
    this.#count(
      0,
      answers.flatMap((answer) => ('value' in answer ? [answer.value] : [])),
    );
    answers.forEach((answer) => this.#settle(answer));
    if (left !== undefined) {
      this.#owner.onLeft(left.group, this.#commandError(left.operation, left.failure));
    }
    if (lost !== undefined) {
      const { operation, shapes, failure } = lost;
      void this.lose(operation, { cause: this.#errorOf(failure), shapes });
    } else if (answers.length > 0 && this.#pending.size === 0) {
      this.#link.rest();
    }
  }

  #settle(answer: Answer): void {
    const pending = this.#pending.get(answer.ticket);
    this.#pending.delete(answer.ticket);
    if ('value' in answer) {
      pending?.resolve(answer.value);
      return;
    }
    const groupFailure = answer.failure.name === 'GroupBrokenError' ? this.#owner.groupFailure() : null;
    if (groupFailure !== null) {
      pending?.reject(groupFailure);
      return;
    }
    const isOwn = answer.operation === pending?.operation;
    pending?.reject(isOwn ? this.#errorOf(answer.failure) : this.#commandError(answer.operation, answer.failure));
  }

  #count(wordBytes: number, parts: readonly (Part | SharedPart)[]): void {
    this.#messages += 1;
    this.#bytes += parts.reduce((sum, part) => sum + (isShared(part) ? 0 : part.byteLength), wordBytes);
  }

  /** What a result depends on has failed. Missing memory needs no words beside its own. */
  #commandError(operation: Operation, failure: Failure): Error {
    const cause = this.#errorOf(failure);
    return operation === 'allocate' ? cause : new CommandError(this.#device, operation, { cause });
  }

  /** The error that a failure on the other side was. */
  #errorOf({ name, message, bytesWanted = 0, bytesInUse = 0 }: Failure): Error {
    switch (name) {
      case 'OutOfMemoryError':
        return new OutOfMemoryError(this.#device, bytesWanted, bytesInUse);
      case 'PartialError':
        return new PartialError(message);
      case 'RangeError':
        return new RangeError(message);
      case 'Error':
        return new Error(message);
      default:
        return new Error(`${name}: ${message}`);
    }
  }
}

/** Whether a command can wait until the worker has something to compute. */
function isForMemory({ operation }: WorkerCommand): boolean {
  return operation === 'allocate' || operation === 'release';
}
