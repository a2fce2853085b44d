/**
 * A CPU worker: a thread with its own instance of the kernels, which computes while the calling thread goes on.
 *
 * This is its face in the calling thread. Commands travel to the worker, where a `CpuDevice` runs them; what can be known
 * here is known at once: which buffers there are, how much they take, and that a command must not be given.
 */

import {
  CommandError,
  DeviceLostError,
  DeviceMismatchError,
  NotInitializedError,
  OutOfMemoryError,
  PartialError,
  WorkerStartError,
} from '../errors.ts';
import { compileCpuModule } from '../wasm/cpu_module.ts';
import type { CpuDevice } from './cpu_device.ts';
import type { Device, DeviceBuffer, MemoryUsage, Rows } from './device.ts';
import type { Operation } from './worker_protocol.ts';
import type { QueueOwner, Traffic, WorkerQueue } from './worker_queue.ts';

const BYTES_PER_VALUE = 4;

class WorkerBuffer implements DeviceBuffer {
  readonly device: WorkerDevice;
  readonly length: number;
  /** What both sides call it; numbers are not given twice. */
  readonly name: number;
  /** What it counts for. */
  readonly bytes: number;
  isReleased = false;

  constructor(device: WorkerDevice, length: number, name: number, bytes: number) {
    this.device = device;
    this.length = length;
    this.name = name;
    this.bytes = bytes;
  }
}

/** Where workers get their program; see {@link devices.configure}. */
export interface WorkerSettings {
  workerUrl: string | null;
}

/** `worker:0`, `worker:1`, … */
export class WorkerDevice implements Device {
  readonly kind = 'worker';
  readonly name: string;
  memoryLimit = Infinity;
  readonly #host: CpuDevice;
  readonly #settings: WorkerSettings;
  #opening: Promise<void> | null = null;
  #queue: WorkerQueue | null = null;
  /** Set when the device was closed before it was ready. */
  #closed: DeviceLostError | null = null;
  #names = 0;
  #buffers = 0;
  #bytesInUse = 0;
  #bytesPeak = 0;

  /** @param host - the device of the calling thread. It does what needs no memory of this one, and knows what buffers take. */
  constructor(name: string, host: CpuDevice, settings: WorkerSettings) {
    this.name = name;
    this.#host = host;
    this.#settings = settings;
  }

  get isReady(): boolean {
    return this.#queue !== null;
  }

  /** Whether the worker has ended. */
  get isLost(): boolean {
    return this.#closed !== null || this.#queue?.isLost === true;
  }

  /** Messages and bytes that have travelled to the worker and back. */
  get traffic(): Traffic {
    return this.#queue?.traffic ?? { messages: 0, bytes: 0 };
  }

  ready(): Promise<void> {
    this.#opening ??= this.#open().catch((error: unknown) => {
      this.#opening = null;
      throw error;
    });
    return this.#opening;
  }

  /** Ends the worker. Whatever is pending, and whatever is asked later, fails with {@link DeviceLostError}. */
  async close(): Promise<void> {
    const cause = new Error('it was closed');
    this.#closed ??= new DeviceLostError(this.name, 'close', { cause });
    await this.#queue?.lose('close', cause);
  }

  memoryUsage(): MemoryUsage {
    const { bytesPooled, bytesReserved } = this.#queue?.reserves ?? { bytesPooled: 0, bytesReserved: 0 };
    const [bytesInUse, bytesPeak, buffers] = [this.#bytesInUse, this.#bytesPeak, this.#buffers];
    return { bytesInUse, bytesPeak, bytesPooled, bytesReserved, buffers };
  }

  allocate(length: number): DeviceBuffer {
    const bytes = this.#host.bufferBytes(length) ?? Infinity;
    const total = this.#bytesInUse + bytes;
    if (total > this.memoryLimit || total === Infinity) {
      throw new OutOfMemoryError(this.name, length * BYTES_PER_VALUE, this.#bytesInUse);
    }
    const buffer = new WorkerBuffer(this, length, this.#names + 1, bytes);
    this.#send('allocate', [buffer.name, length]);
    this.#names += 1;
    this.#buffers += 1;
    this.#bytesInUse = total;
    this.#bytesPeak = Math.max(this.#bytesPeak, total);
    return buffer;
  }

  /** Also on a lost device, where nothing is left to be given back but its place in the account. */
  release(buffer: DeviceBuffer): void {
    const own = this.#own(buffer);
    if (!this.isLost) {
      this.#send('release', [own.name]);
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
        `device ${this.name}: expected at most ${target.buffer.length} values, got ${values.length}`,
      );
    }
    this.#send('writeRows', [values, target, rowLength, rows], values.buffer);
  }

  read(buffer: DeviceBuffer): Promise<Float32Array> {
    return this.readRows({ buffer, offset: 0, stride: buffer.length }, buffer.length, 1);
  }

  readRows(...args: Parameters<Device['readRows']>): Promise<Float32Array<ArrayBuffer>> {
    return this.#ask('readRows', args);
  }

  copyRows(source: Rows, target: Rows, rowLength: number, rows: number): void | Promise<void> {
    const { device } = source.buffer;
    if (device === this) {
      this.#send('copyRows', [source, target, rowLength, rows]);
      return;
    }
    return device.readRows(source, rowLength, rows).then((values) => this.writeRows(values, target, rowLength, rows));
  }

  fill(...args: Parameters<Device['fill']>): void {
    this.#send('fill', args);
  }

  add(...args: Parameters<Device['add']>): void {
    this.#send('add', args);
  }

  permute(...args: Parameters<Device['permute']>): void {
    this.#send('permute', args);
  }

  batchNorm(...args: Parameters<Device['batchNorm']>): void {
    this.#send('batchNorm', args);
  }

  batchNormBackward(...args: Parameters<Device['batchNormBackward']>): void {
    this.#send('batchNormBackward', args);
  }

  moments(...args: Parameters<Device['moments']>): Promise<Uint8Array> {
    return this.#ask('moments', args);
  }

  total(...args: Parameters<Device['total']>): Promise<Uint8Array> {
    return this.#ask('total', args);
  }

  deviations(...args: Parameters<Device['deviations']>): Promise<Uint8Array> {
    return this.#ask('deviations', args);
  }

  backwardReduce(...args: Parameters<Device['backwardReduce']>): Promise<Uint8Array> {
    return this.#ask('backwardReduce', args);
  }

  /** Partials are small and lie in the calling thread: merged there, they need not travel. */
  merge(...args: Parameters<Device['merge']>): Promise<Uint8Array> {
    return this.#host.merge(...args);
  }

  finalize(...args: Parameters<Device['finalize']>): void {
    this.#send('finalize', args);
  }

  updateRunning(...args: Parameters<Device['updateRunning']>): void {
    this.#send('updateRunning', args);
  }

  evaluationStatistics(...args: Parameters<Device['evaluationStatistics']>): void {
    this.#send('evaluationStatistics', args);
  }

  normalize(...args: Parameters<Device['normalize']>): void {
    this.#send('normalize', args);
  }

  backwardParameters(...args: Parameters<Device['backwardParameters']>): void {
    this.#send('backwardParameters', args);
  }

  backwardInput(...args: Parameters<Device['backwardInput']>): void {
    this.#send('backwardInput', args);
  }

  async #open(): Promise<void> {
    const { name } = this;
    const [module, { openQueue }] = await Promise.all([
      compileCpuModule(),
      import('./worker_queue.ts'),
      this.#host.ready(),
    ]);
    const owner: QueueOwner = {
      nameOf: (value) => (value instanceof WorkerBuffer ? this.#own(value).name : null),
      errors: { CommandError, DeviceLostError, OutOfMemoryError, PartialError },
    };
    const queue = await openQueue({ name, module }, this.#settings.workerUrl, owner).catch((cause: unknown) => {
      throw new WorkerStartError(name, { cause });
    });
    if (this.#closed !== null) {
      await queue.lose('close', this.#closed.cause);
      throw this.#closed;
    }
    this.#queue = queue;
  }

  #send(operation: Operation, args: readonly unknown[], transfer?: ArrayBuffer): void {
    this.#running().send(operation, args, transfer);
  }

  /** The result has the type that the same command gives on a `CpuDevice`. */
  async #ask<T extends Float32Array | Uint8Array>(operation: Operation, args: readonly unknown[]): Promise<T> {
    return (await this.#running().ask(operation, args)) as T;
  }

  /** @throws NotInitializedError before the device is ready. */
  #running(): WorkerQueue {
    if (this.#queue === null) {
      throw this.#closed ?? new NotInitializedError();
    }
    return this.#queue;
  }

  #own(buffer: DeviceBuffer): WorkerBuffer {
    if (!(buffer instanceof WorkerBuffer) || buffer.device !== this) {
      throw new DeviceMismatchError('command', [this.name, buffer.device.name]);
    }
    if (buffer.isReleased) {
      throw new RangeError(`device ${this.name}: expected a buffer in use, got one that was released`);
    }
    return buffer;
  }
}
