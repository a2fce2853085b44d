/**
 * A CPU worker: a thread with its own instance of the kernels, which computes while the calling thread goes on.
 *
 * This is its side in the calling thread. Commands travel to the worker, where a `CpuDevice` runs them; what can be known
 * here is known at once: which buffers there are, how much they take, and that a command must not be given.
 *
 * Loaded when the first worker device is made ready, with all that only workers need.
 */

import { type DeviceLostError, DeviceMismatchError, OutOfMemoryError, WorkerStartError } from '../errors.ts';
import { cpuModule } from '../wasm/modules.ts';
import type { CpuDevice } from './cpu_device.ts';
import type {
  Command,
  Device,
  DeviceBuffer,
  DeviceDetails,
  DeviceGroup,
  MemoryUsage,
  Reduction,
  Rows,
} from './device.ts';
import { host } from './host.ts';
import type { OpenDevice } from './lazy_device.ts';
import type { WorkerCommand } from './worker_commands.ts';
import { type GroupCommand, type Member, WorkerGroup } from './worker_group.ts';
import { boxesOf, inside, isWorthPieces, Pieces } from './worker_pieces.ts';
import { openQueue, type QueueOwner, type WorkerQueue } from './worker_queue.ts';

const BYTES_PER_VALUE = 4;

class WorkerBuffer implements DeviceBuffer {
  readonly device: Device;
  readonly length: number;
  /** What both sides call it. No number is given twice. */
  readonly number: number;
  /** What it counts for. */
  readonly bytes: number;
  isReleased = false;

  constructor(device: Device, length: number, number: number, bytes: number) {
    this.device = device;
    this.length = length;
    this.number = number;
    this.bytes = bytes;
  }
}

/** Where workers get their program; see {@link devices.configure}. */
export interface WorkerSettings {
  workerUrl: string | null;
}

/**
 * Starts a worker and waits until it can take commands.
 * @param face - the device as everybody else sees it.
 * @throws WorkerStartError when the platform starts none.
 */
export async function openWorkerDevice(face: Device, { workerUrl }: WorkerSettings): Promise<OpenDevice> {
  const [module] = await Promise.all([cpuModule(), host().ready()]);
  const { name } = face;
  const memberships = new Memberships();
  const owner: QueueOwner = {
    numberOf: (buffer) => ownBuffer(buffer, face).number,
    onLeft: (group, error) => memberships.end(group, error),
    groupFailure: () => memberships.failure,
  };
  const queue = await openQueue({ name, module }, workerUrl, owner).catch((cause: unknown) => {
    throw new WorkerStartError(name, { cause });
  });
  const device = new WorkerDevice(face, queue, memberships);
  opened.set(face, device);
  return device;
}

/** What is behind the faces of the workers that have been opened. */
const opened = new WeakMap<Device, WorkerDevice>();

/** The groups that a worker belongs to, by what the worker calls them. */
class Memberships {
  readonly groups = new Map<number, WorkerGroup>();
  /** Why the latest group that has ended did. */
  failure: Error | null = null;

  /** @param number - `null`: all. */
  end(number: number | null, error: Error): void {
    const ended = number === null ? [...this.groups.values()] : [this.groups.get(number)];
    ended.forEach((group) => group?.end(error));
  }
}

/** `worker:0`, `worker:1`, … */
class WorkerDevice implements OpenDevice, Member {
  memoryLimit = Infinity;
  readonly #face: Device;
  readonly #queue: WorkerQueue;
  readonly #memberships: Memberships;
  readonly #pieces = new Pieces();
  /** The latest number of a buffer. */
  #latest = 0;
  #buffers = 0;
  #bytesInUse = 0;
  #bytesPeak = 0;

  constructor(face: Device, queue: WorkerQueue, memberships: Memberships) {
    this.#face = face;
    this.#memberships = memberships;
    this.#queue = queue;
  }

  close(): Promise<void> {
    return this.#queue.lose('close', { cause: new Error('it was closed') });
  }

  details(): DeviceDetails {
    return { adapter: `thread of ${this.#face.name}`, isSoftware: false, traffic: this.#queue.traffic, work: null };
  }

  memoryUsage(): MemoryUsage {
    const { bytesPooled, bytesReserved } = this.#queue.reserves;
    const [bytesInUse, bytesPeak, buffers] = [this.#bytesInUse, this.#bytesPeak, this.#buffers];
    return { bytesInUse, bytesPeak, bytesPooled, bytesReserved, buffers };
  }

  allocate(length: number): DeviceBuffer {
    const { mostBytes } = host();
    const bytes = host().bufferBytes(length) ?? Infinity;
    const total = this.#bytesInUse + bytes;
    if (total > Math.min(this.memoryLimit, mostBytes)) {
      throw new OutOfMemoryError(this.#face.name, length * BYTES_PER_VALUE, this.#bytesInUse);
    }
    const buffer = new WorkerBuffer(this.#face, length, this.#latest + 1, bytes);
    this.#send({ operation: 'allocate', buffer: buffer.number, length });
    this.#latest += 1;
    this.#buffers += 1;
    this.#bytesInUse = total;
    this.#bytesPeak = Math.max(this.#bytesPeak, total);
    return buffer;
  }

  /** Also on a lost device, where nothing is left to be given back but its place in the account. */
  release(buffer: DeviceBuffer): void {
    const own = ownBuffer(buffer, this.#face);
    if (this.#queue.lost === null) {
      this.#send({ operation: 'release', buffer: own.number });
    }
    own.isReleased = true;
    this.#buffers -= 1;
    this.#bytesInUse -= own.bytes;
  }

  write(buffer: DeviceBuffer, data: Float32Array): void {
    this.writeRows(data.slice(), { buffer, offset: 0, stride: data.length }, data.length, 1);
  }

  writeRows(values: Float32Array<ArrayBuffer>, target: Rows, rowLength: number, rows: number): void {
    if (target.offset + (rows - 1) * target.stride + rowLength > target.buffer.length) {
      throw new RangeError(
        `device ${this.#face.name}: expected at most ${target.buffer.length} values, got ${values.length}`,
      );
    }
    this.#send({ operation: 'writeRows', values, target, rowLength, rows }, values.buffer);
  }

  read(buffer: DeviceBuffer): Promise<Float32Array> {
    return this.readRows({ buffer, offset: 0, stride: buffer.length }, buffer.length, 1);
  }

  readRows(source: Rows, rowLength: number, rows: number): Promise<Float32Array<ArrayBuffer>> {
    return this.#ask({ operation: 'readRows', source, rowLength, rows });
  }

  copyRows(source: Rows, target: Rows, rowLength: number, rows: number): void {
    this.#send({ operation: 'copyRows', source, target, rowLength, rows });
  }

  copyIn(source: Rows, target: Rows, rowLength: number, rows: number): Promise<void> | null {
    const { device } = source.buffer;
    if (!isWorthPieces(rowLength * rows) || !isHost(device)) {
      return null;
    }
    return this.#pieces.each(boxesOf(rowLength, rows), (box, values) => {
      device.readInto(inside(source, box), box.length, box.rows, values);
      const part = { target: inside(target, box), rowLength: box.length, rows: box.rows };
      return this.#ask({ operation: 'writeRows', values, ...part }, values.buffer);
    });
  }

  copyOut(source: Rows, target: Rows, rowLength: number, rows: number): Promise<void> | null {
    const { device } = target.buffer;
    if (!isWorthPieces(rowLength * rows)) {
      return null;
    }
    return this.#pieces.each(boxesOf(rowLength, rows), async (box, piece) => {
      const part = { source: inside(source, box), rowLength: box.length, rows: box.rows };
      const values = await this.#ask<Float32Array<ArrayBuffer>>(
        { operation: 'readInto', ...part, values: piece },
        piece.buffer,
      );
      device.writeRows(values, inside(target, box), box.length, box.rows);
      return values;
    });
  }

  run(command: Command): void {
    this.#send(command);
  }

  reduce(reduction: Reduction): Promise<Uint8Array> {
    return this.#ask<Uint8Array<ArrayBuffer>>(reduction);
  }

  /** Partials are small and lie in the calling thread: merged there, they need not travel. */
  merge(...args: Parameters<Device['merge']>): Promise<Uint8Array> {
    return host().merge(...args);
  }

  get lost(): DeviceLostError | null {
    return this.#queue.lost;
  }

  group(devices: readonly Device[]): DeviceGroup | null {
    const members = devices.flatMap((device) => opened.get(device) ?? []);
    if (members.length < devices.length || typeof SharedArrayBuffer === 'undefined') {
      return null;
    }
    return WorkerGroup.of(members);
  }

  give(group: WorkerGroup, command: GroupCommand): void {
    if (command.operation === 'join') {
      this.#memberships.groups.set(command.group, group);
    }
    this.#send(command);
  }

  async leave(number: number): Promise<void> {
    await this.#ask({ operation: 'leave', group: number });
    this.#memberships.groups.delete(number);
  }

  forget(number: number, failure: Error): void {
    this.#memberships.groups.delete(number);
    this.#memberships.failure = failure;
    if (this.#queue.lost === null) {
      this.#send({ operation: 'leave', group: number });
    }
  }

  async whenDone(): Promise<void> {
    await this.#ask({ operation: 'confirm' });
  }

  #send(command: WorkerCommand, transfer?: ArrayBuffer): void {
    this.#queue.send(command, transfer);
  }

  /** The result has the type that the same command gives on a `CpuDevice`. */
  async #ask<T extends Float32Array | Uint8Array>(command: WorkerCommand, transfer?: ArrayBuffer): Promise<T> {
    return (await this.#queue.ask(command, transfer)) as T;
  }
}

/** Whether a device's memory is the calling thread's own. */
function isHost(device: Device): device is CpuDevice {
  return device.kind === 'cpu';
}

function ownBuffer(buffer: DeviceBuffer, face: Device): WorkerBuffer {
  if (!(buffer instanceof WorkerBuffer) || buffer.device !== face) {
    throw new DeviceMismatchError('command', [face.name, buffer.device.name]);
  }
  if (buffer.isReleased) {
    throw new RangeError(`device ${face.name}: expected a buffer in use, got one that was released`);
  }
  return buffer;
}
