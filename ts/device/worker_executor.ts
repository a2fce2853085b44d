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
import type { DeviceBuffer, GroupBackwardArguments, GroupForwardArguments } from './device.ts';
import { decodeCommand } from './worker_codec.ts';
import { Exchange, GroupBrokenError } from './worker_exchange.ts';
import type { GroupCommand } from './worker_group.ts';
import { batchNormBackwardJointly, batchNormJointly } from './worker_joint.ts';
import {
  type Answer,
  type CommandMessage,
  type Failure,
  NO_TICKET,
  type Operation,
  type Part,
  type Reply,
} from './worker_protocol.ts';

/** Where each command names the buffers that it writes, as paths into its arguments. */
const written: Readonly<Record<Operation, readonly string[]>> = {
  allocate: ['0'],
  release: [],
  readRows: [],
  readInto: [],
  writeRows: ['1.buffer'],
  copyRows: ['1.buffer'],
  fill: ['0'],
  add: ['2'],
  permute: ['1'],
  batchNorm: ['0.y', '0.statistics', '0.running.nextMean', '0.running.nextVariance'],
  batchNormBackward: ['0.dx', '0.dweight', '0.dbias'],
  moments: [],
  total: [],
  deviations: [],
  backwardReduce: [],
  finalize: ['0.statistics'],
  updateRunning: ['0.running.nextMean', '0.running.nextVariance'],
  evaluationStatistics: ['0.statistics'],
  normalize: ['0.y'],
  backwardParameters: ['0.dweight', '0.dbias'],
  backwardInput: ['0.dx'],
  join: [],
  leave: [],
  jointBatchNorm: ['0.share.y', '0.share.statistics', '0.share.running.nextMean', '0.share.running.nextVariance'],
  jointBatchNormBackward: ['0.share.dx', '0.share.dweight', '0.share.dbias'],
  confirm: [],
};

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

  /** @param tell - sends what cannot wait until the commands of a message are done. */
  constructor(device: CpuDevice, tell: (reply: Reply) => void) {
    this.#device = device;
    this.#tell = tell;
  }

  /** Runs commands in order. The reply's arrays belong to the caller. */
  async run({ lines, parts }: CommandMessage): Promise<Reply> {
    const answers: Answer[] = [];
    for (const line of lines.split('\n')) {
      try {
        const [operation, ticket, ...args] = decodeCommand(line, parts, (name) => this.#bufferOf(name));
        const value = await this.#call(operation, args);
        if (ticket !== NO_TICKET) {
          answers.push({ ticket, value: (value ?? new Uint8Array(0)) as Part });
        }
      } catch (error) {
        const answer = this.#device.lost === null ? this.#fail(line, parts, error) : null;
        if (answer !== null) {
          answers.push(answer);
        }
      }
      // A trap in `release` is not thrown.
      if (this.#device.lost !== null) {
        return { ...this.usage(), answers, lost: lossOf(line, this.#device.lost) };
      }
    }
    return { ...this.usage(), answers };
  }

  /** A reply without answers: what the memory looks like from inside. */
  usage(): Reply {
    const { bytesPooled, bytesReserved } = this.#device.memoryUsage();
    return { answers: [], bytesPooled, bytesReserved };
  }

  /** Poisons what a command would have written; the answer for who awaits it. */
  #fail(line: string, parts: CommandMessage['parts'], error: unknown): Answer | null {
    const [operation, ticket, ...args] = decodeCommand(line, parts, (name) => name);
    const poison = error instanceof Poison ? error : new Poison(operation, failureOf(error));
    this.#poison(operation, args, poison);
    if (poison.operation === 'allocate') {
      this.#keepRunning(args);
    }
    this.#leave(args, poison, error);
    return ticket === NO_TICKET ? null : { ticket, operation: poison.operation, failure: poison.failure };
  }

  #call(operation: Operation, args: readonly unknown[]): unknown {
    const [name, length] = args as [number, number];
    switch (operation) {
      case 'allocate':
        this.#buffers.set(name, this.#device.allocate(length));
        return;
      case 'release':
        this.#release(name);
        return;
      case 'join':
        this.#exchanges.set(name, new Exchange(...(args.slice(1) as ConstructorParameters<typeof Exchange>)));
        return;
      case 'leave':
        this.#exchanges.delete(name);
        return;
      case 'confirm':
        return;
      case 'writeRows':
      case 'readInto':
        return this.#takeArray(operation, args);
      case 'jointBatchNorm': {
        const { group, tiling, share } = args[0] as GroupCommand<GroupForwardArguments>;
        return batchNormJointly(this.#device, this.#exchange(group), tiling, share);
      }
      case 'jointBatchNormBackward': {
        const { group, tiling, share } = args[0] as GroupCommand<GroupBackwardArguments>;
        return batchNormBackwardJointly(this.#device, this.#exchange(group), tiling, share);
      }
      default: {
        const commands = this.#device as unknown as Record<Operation, (...args: readonly unknown[]) => unknown>;
        return commands[operation](...args);
      }
    }
  }

  /** Runs a command and gives back the array that it was lent. */
  #takeArray(operation: 'writeRows' | 'readInto', args: readonly unknown[]): unknown {
    if (operation === 'writeRows') {
      this.#device.writeRows(...(args as Parameters<CpuDevice['writeRows']>));
      return args[0];
    }
    this.#device.readInto(...(args as Parameters<CpuDevice['readInto']>));
    return args[3];
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

  /**
   * Takes no part in a group any more, one of whose commands has failed here, and says why, unless others have failed before.
   * @param args - with numbers in the place of buffers.
   */
  #leave(args: readonly unknown[], poison: Poison, error: unknown): void {
    const group = at(args, '0.group');
    if (typeof group === 'number') {
      const isNews = this.#exchanges.get(group)?.leave() !== false;
      if (isNews && !(error instanceof GroupBrokenError)) {
        this.#tell({ ...this.usage(), left: { group, operation: poison.operation, failure: poison.failure } });
      }
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
   * @param args - with numbers in the place of buffers.
   */
  #keepRunning(args: readonly unknown[]): void {
    const running = at(args, '0.running') ?? at(args, '0.share.running');
    for (const [old, next] of [
      ['mean', 'nextMean'],
      ['variance', 'nextVariance'],
    ] as const) {
      const source = this.#buffers.get(Number(at(running, old)));
      const target = this.#buffers.get(Number(at(running, next)));
      const isSpoiled = this.#poisoned.has(Number(at(running, old)));
      if (source !== undefined && target !== undefined && !isSpoiled) {
        const rows = { offset: 0, stride: source.length };
        void this.#device.copyRows({ buffer: source, ...rows }, { buffer: target, ...rows }, source.length, 1);
        this.#poisoned.delete(Number(at(running, next)));
      }
    }
  }

  /** @param args - with numbers in the place of buffers. */
  #poison(operation: Operation, args: readonly unknown[], poison: Poison): void {
    for (const path of written[operation]) {
      const name = at(args, path);
      if (typeof name === 'number') {
        this.#poisoned.set(name, poison);
      }
    }
  }
}

function lossOf(line: string, { shapes, cause }: DeviceLostError): Required<Reply>['lost'] {
  const [operation] = decodeCommand(line, [], (name) => name);
  return { operation, shapes, failure: failureOf(cause) };
}

/** What lies at a path; `null` where a part of it is absent. */
function at(args: unknown, path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>((value, key) => (value as Record<string, unknown> | null)?.[key] ?? null, args);
}

export function failureOf(error: unknown): Failure {
  const { name, message, bytesWanted, bytesInUse } = error as Failure;
  return { name, message, bytesWanted, bytesInUse };
}
