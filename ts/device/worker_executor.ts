/**
 * The worker's side of a device: runs the commands that arrive on a `CpuDevice`.
 *
 * A command that fails poisons what it would have written, and so does every command that reads something poisoned. Whoever
 * awaits a result that depends on the failure is told of it; everybody else goes on. Memory that the platform does not give is such a
 * failure too. A failure in a command of a group is told at once, since the other members wait for this one.
 *
 * A kernel that traps ends the device, and nothing that comes after it is run.
 */

import type { DeviceLostError } from '../errors.ts';
import type { CpuDevice } from './cpu_device.ts';
import type { DeviceBuffer } from './device.ts';
import { isCommand, type Operation, type WorkerCommand, workerTable } from './worker_commands.ts';
import { decodeCommand, outputsOf, type Referents } from './worker_decoding.ts';
import { Exchange, GroupBrokenError } from './worker_exchange.ts';
import { backwardPass, forwardPass } from './joint_pass.ts';
import { runJointly } from './worker_joint.ts';
import {
  type Answer,
  type CommandMessage,
  type Failure,
  HEADER_WORDS,
  NO_TICKET,
  type Part,
  type Reply,
} from './worker_protocol.ts';

/** A command that an object is made of. */
type DecodedCommand = WorkerCommand<Exclude<Operation, 'allocate' | 'release'>>;

/** A command as it has arrived. */
interface Arrived {
  readonly operation: Operation;
  readonly ticket: number;
  readonly words: Float64Array;
  /** Where its fields begin. */
  readonly place: number;
}

/** Stands where a buffer would be, had the command that fills it not failed. */
class Poison extends Error {
  readonly operation: Operation;
  readonly failure: Failure;

  constructor(operation: Operation, failure: Failure) {
    super(failure.message);
    this.operation = operation;
    this.failure = failure;
  }
}

export class CommandExecutor {
  readonly #device: CpuDevice;
  readonly #buffers = new Map<number, DeviceBuffer>();
  readonly #poisoned = new Map<number, Poison>();
  readonly #exchanges = new Map<number, Exchange>();
  readonly #tell: (reply: Reply) => void;
  readonly #isCoreFree: (members: number) => boolean;
  /** Of the message whose commands are run. */
  #parts: CommandMessage['parts'] = [];
  readonly #referents: Referents<DeviceBuffer> = {
    buffer: (number) => this.#bufferOf(number),
    array: (number) => this.#parts[number - 1],
  };

  /**
   * @param tell - sends what cannot wait until the commands of a message are done.
   * @param isCoreFree - whether so many workers may run at once, as far as is known.
   */
  constructor(device: CpuDevice, tell: (reply: Reply) => void, isCoreFree: (members: number) => boolean = () => true) {
    this.#isCoreFree = isCoreFree;
    this.#device = device;
    this.#tell = tell;
  }

  /** Runs commands in order. The reply's arrays belong to the caller. */
  async run({ words, parts }: CommandMessage): Promise<Reply> {
    const answers: Answer[] = [];
    this.#parts = parts;
    for (const arrived of commandsIn(words)) {
      const { operation, ticket } = arrived;
      try {
        const result = this.#execute(arrived);
        const value = result instanceof Promise ? await result : result;
        if (ticket !== NO_TICKET) {
          answers.push({ ticket, value: value ?? new Uint8Array(0) });
        }
      } catch (error) {
        const answer = this.#device.lost === null ? this.#fail(arrived, error) : null;
        if (answer !== null) {
          answers.push(answer);
        }
      }
      // A trap in `release` is not thrown.
      if (this.#device.lost !== null) {
        return { ...this.usage(), answers, lost: lossOf(operation, this.#device.lost) };
      }
    }
    return { ...this.usage(), answers };
  }

  /** A reply without answers: what the memory looks like from inside. */
  usage(): Reply {
    const { bytesPooled, bytesReserved } = this.#device.memoryUsage();
    return { answers: [], bytesPooled, bytesReserved };
  }

  /** Most commands say which memory is used. Of those no objects are made: they would take a tenth of a small layer's time. */
  #execute(arrived: Arrived): Promise<Part> | Part | undefined {
    const { operation, words, place } = arrived;
    const [buffer = 0, length = 0] = [words[place], words[place + 1]];
    switch (operation) {
      case 'allocate':
        this.#buffers.set(buffer, this.#device.allocate(length));
        return undefined;
      case 'release':
        this.#release(buffer);
        return undefined;
      default:
        return this.#call(this.#decode(arrived));
    }
  }

  #decode({ operation, words, place }: Arrived): DecodedCommand {
    return decodeCommand(operation, words, place, this.#referents) as unknown as DecodedCommand;
  }

  /** Poisons what a command would have written; the answer for who awaits it. */
  #fail(arrived: Arrived, error: unknown): Answer | null {
    const { operation, ticket, words, place } = arrived;
    const poison = error instanceof Poison ? error : new Poison(operation, failureOf(error));
    // The numbers of buffers in the place of buffers.
    const fields = decodeCommand(operation, words, place, { buffer: (number) => number, array: () => undefined });
    const { buffer, group } = fields;
    const outputs = operation === 'allocate' ? [buffer as number] : outputsOf(operation, words, place);
    outputs.forEach((number) => this.#poisoned.set(number, poison));
    if (poison.operation === 'allocate') {
      this.#keepRunning(fields);
    }
    if (typeof group === 'number') {
      this.#leave(group, poison, error);
    }
    return ticket === NO_TICKET ? null : { ticket, operation: poison.operation, failure: poison.failure };
  }

  #call(command: DecodedCommand): Promise<Part> | Part | undefined {
    const device = this.#device;
    switch (command.operation) {
      case 'readRows':
        return device.readRows(command.source, command.rowLength, command.rows);
      case 'readInto':
        device.readInto(command.source, command.rowLength, command.rows, command.values);
        return command.values;
      case 'writeRows':
        device.writeRows(command.values, command.target, command.rowLength, command.rows);
        return command.values;
      case 'copyRows':
        void device.copyRows(command.source, command.target, command.rowLength, command.rows);
        return undefined;
      case 'join': {
        const { group, memory, rank, size, slotBytes } = command;
        this.#exchanges.set(group, new Exchange(memory, rank, size, slotBytes, () => this.#isCoreFree(size)));
        return undefined;
      }
      case 'leave':
        this.#exchanges.delete(command.group);
        return undefined;
      case 'confirm':
        return undefined;
      case 'jointBatchNorm':
      case 'jointBatchNormBackward': {
        const pass =
          command.operation === 'jointBatchNorm' ? forwardPass(device, command) : backwardPass(device, command);
        runJointly(this.#exchange(command.group), command.layout.channels, command.width, pass);
        return undefined;
      }
      default:
        if (isCommand(command)) {
          device.run(command);
          return undefined;
        }
        return device.reduceNow(command) as Part;
    }
  }

  #release(name: number): void {
    const buffer = this.#buffers.get(name);
    if (buffer !== undefined) {
      this.#device.release(buffer);
    }
    this.#buffers.delete(name);
    this.#poisoned.delete(name);
  }

  #exchange(group: number): Exchange {
    const exchange = this.#exchanges.get(group);
    if (exchange === undefined) {
      throw new RangeError(`expected the number of a group, got ${group}`);
    }
    return exchange;
  }

  /** Takes no part in a group any more, one of whose commands has failed here, and says why, unless others have failed before. */
  #leave(group: number, poison: Poison, error: unknown): void {
    const isNews = this.#exchanges.get(group)?.leave() !== false;
    if (isNews && !(error instanceof GroupBrokenError)) {
      this.#tell({ ...this.usage(), left: { group, operation: poison.operation, failure: poison.failure } });
    }
  }

  /** @throws Poison */
  #bufferOf(name: number): DeviceBuffer {
    const poison = this.#poisoned.get(name);
    if (poison !== undefined) {
      throw poison;
    }
    const buffer = this.#buffers.get(name);
    if (buffer === undefined) {
      throw new RangeError(`expected the number of a buffer in use, got ${name}`);
    }
    return buffer;
  }

  /**
   * Where there was no room for an output, the running statistics stay what they were before the batch: the calling side takes them
   * over before it hears of the failure.
   * @param fields - with numbers in the place of buffers.
   */
  #keepRunning({ mean, variance, nextMean, nextVariance }: Readonly<Record<string, unknown>>): void {
    for (const [old, next] of [
      [Number(mean), Number(nextMean)],
      [Number(variance), Number(nextVariance)],
    ] as const) {
      const source = this.#buffers.get(old);
      const target = this.#buffers.get(next);
      if (source !== undefined && target !== undefined && !this.#poisoned.has(old)) {
        const rows = { offset: 0, stride: source.length };
        void this.#device.copyRows({ buffer: source, ...rows }, { buffer: target, ...rows }, source.length, 1);
        this.#poisoned.delete(next);
      }
    }
  }
}

/** The commands of a message, in order. */
function* commandsIn(words: Float64Array): Generator<Arrived> {
  let place = HEADER_WORDS;
  while (place <= words.length) {
    const operation = workerTable.names[words[place - HEADER_WORDS] ?? 0];
    const ticket = words[place - 1] ?? NO_TICKET;
    if (operation === undefined) {
      throw new RangeError('expected the number of an operation; the programs of the two threads differ');
    }
    yield { operation, ticket, words, place };
    place += workerTable.wordCountOf(operation) + HEADER_WORDS;
  }
}

function lossOf(operation: Operation, { shapes, cause }: DeviceLostError): Required<Reply>['lost'] {
  return { operation, shapes, failure: failureOf(cause) };
}

export function failureOf(error: unknown): Failure {
  const { name, message, bytesWanted, bytesInUse } = error as Failure;
  return { name, message, bytesWanted, bytesInUse };
}
