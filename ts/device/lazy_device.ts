/**
 * The face of a device whose program is loaded when it is made ready: a page that computes in the calling thread alone does
 * not load what workers or GPUs need.
 *
 * What is loaded imports nothing that is loaded before. Bundlers would make a file of its own of what both need, and every
 * page would load one file more; so the face hands it over ({@link Essentials}).
 */

import type * as errors from '../errors.ts';
import { DeviceLostError, NotInitializedError } from '../errors.ts';
import type { CpuDevice } from './cpu_device.ts';
import type { Device, DeviceBuffer, DeviceDetails, DeviceGroup, DeviceKind, MemoryUsage, Rows } from './device.ts';
import type { atEndOfTick } from './end_of_tick.ts';

/** What every device does once it is there. */
export interface OpenDevice extends Omit<Device, 'name' | 'kind' | 'isReady' | 'ready' | 'lost' | 'copyRows'> {
  /** See {@link Device.lost}; absent where only a command finds out. */
  readonly lost?: DeviceLostError | null;
  /** Within the device. */
  copyRows(source: Rows, target: Rows, rowLength: number, rows: number): void;
  /** {@link Device.copyRows} from another device, where there is a better way than by an array; else `null`. */
  copyIn?(source: Rows, target: Rows, rowLength: number, rows: number): Promise<void> | null;
  /** Ends the device: whatever is pending, and whatever is asked later, fails with {@link DeviceLostError}. */
  close(): Promise<void>;
}

/** What is loaded with the library and used by what is loaded later. */
export interface Essentials {
  /** The kernels of the calling thread, for what needs no memory of a device; after a trap, others. */
  readonly host: () => CpuDevice;
  readonly compileCpuModule: () => Promise<WebAssembly.Module>;
  /** Compiles a module from its compressed bytes in base64. */
  readonly compileModule: (text: string) => Promise<WebAssembly.Module>;
  /** Bytes of several partials as one array. */
  readonly endToEnd: (partials: readonly Uint8Array[]) => Uint8Array;
  readonly atEndOfTick: typeof atEndOfTick;
  readonly errors: Pick<
    typeof errors,
    | 'CommandError'
    | 'DeviceLimitError'
    | 'DeviceLostError'
    | 'DeviceMismatchError'
    | 'NoAdapterError'
    | 'NoWebGpuError'
    | 'OutOfMemoryError'
    | 'PartialError'
    | 'ValidationError'
    | 'WorkerStartError'
  >;
}

/** Loads and opens a device. Its buffers are those of the face. */
type Open<Opened> = (face: Device) => Promise<Opened>;

/** What a device holds that does not exist yet. */
const NOTHING: MemoryUsage = { bytesInUse: 0, bytesPeak: 0, bytesPooled: 0, bytesReserved: 0, buffers: 0 };

export class LazyDevice<Opened extends OpenDevice = OpenDevice> implements Device {
  readonly name: string;
  readonly kind: DeviceKind;
  readonly #open: Open<Opened>;
  readonly #before: DeviceDetails;
  #opening: Promise<void> | null = null;
  #opened: Opened | null = null;
  #closed: DeviceLostError | null = null;
  #memoryLimit = Infinity;

  /** @param before - what is known before it is ready. */
  constructor(name: string, kind: DeviceKind, before: DeviceDetails, open: Open<Opened>) {
    this.name = name;
    this.kind = kind;
    this.#before = before;
    this.#open = open;
  }

  get isReady(): boolean {
    return this.#opened !== null;
  }

  get lost(): DeviceLostError | null {
    return this.#opened?.lost ?? this.#closed;
  }

  ready(): Promise<void> {
    this.#opening ??= this.#openOnce().catch((error: unknown) => {
      this.#opening = null;
      throw error;
    });
    return this.#opening;
  }

  /** Ends the device, also one that is just being opened. */
  async close(): Promise<void> {
    this.#closed ??= new DeviceLostError(this.name, 'close', { cause: new Error('it was closed') });
    await this.#opened?.close();
  }

  get memoryLimit(): number {
    return this.#memoryLimit;
  }

  set memoryLimit(bytes: number) {
    this.#memoryLimit = bytes;
    if (this.#opened !== null) {
      this.#opened.memoryLimit = bytes;
    }
  }

  memoryUsage(): MemoryUsage {
    return this.#opened?.memoryUsage() ?? NOTHING;
  }

  details(): DeviceDetails {
    return this.#opened?.details() ?? this.#before;
  }

  allocate(length: number): DeviceBuffer {
    return this.opened.allocate(length);
  }

  release(buffer: DeviceBuffer): void {
    this.opened.release(buffer);
  }

  write(...args: Parameters<Device['write']>): void {
    this.opened.write(...args);
  }

  async read(buffer: DeviceBuffer): Promise<Float32Array> {
    return this.opened.read(buffer);
  }

  async readRows(...args: Parameters<Device['readRows']>): Promise<Float32Array<ArrayBuffer>> {
    return this.opened.readRows(...args);
  }

  writeRows(...args: Parameters<Device['writeRows']>): void {
    this.opened.writeRows(...args);
  }

  copyRows(source: Rows, target: Rows, rowLength: number, rows: number): void | Promise<void> {
    const { device } = source.buffer;
    if (device === this) {
      this.opened.copyRows(source, target, rowLength, rows);
      return;
    }
    return (
      this.opened.copyIn?.(source, target, rowLength, rows) ??
      device.readRows(source, rowLength, rows).then((values) => this.writeRows(values, target, rowLength, rows))
    );
  }

  copyOut(...args: Parameters<NonNullable<Device['copyOut']>>): Promise<void> | null {
    return this.opened.copyOut?.(...args) ?? null;
  }

  confirm(buffer: DeviceBuffer): Promise<void> | null {
    return this.opened.confirm?.(buffer) ?? null;
  }

  fill(...args: Parameters<Device['fill']>): void {
    this.opened.fill(...args);
  }

  add(...args: Parameters<Device['add']>): void {
    this.opened.add(...args);
  }

  permute(...args: Parameters<Device['permute']>): void {
    this.opened.permute(...args);
  }

  batchNorm(...args: Parameters<Device['batchNorm']>): void {
    this.opened.batchNorm(...args);
  }

  batchNormBackward(...args: Parameters<Device['batchNormBackward']>): void {
    this.opened.batchNormBackward(...args);
  }

  async moments(...args: Parameters<Device['moments']>): Promise<Uint8Array> {
    return this.opened.moments(...args);
  }

  async total(...args: Parameters<Device['total']>): Promise<Uint8Array> {
    return this.opened.total(...args);
  }

  async deviations(...args: Parameters<Device['deviations']>): Promise<Uint8Array> {
    return this.opened.deviations(...args);
  }

  async backwardReduce(...args: Parameters<Device['backwardReduce']>): Promise<Uint8Array> {
    return this.opened.backwardReduce(...args);
  }

  async merge(...args: Parameters<Device['merge']>): Promise<Uint8Array> {
    return this.opened.merge(...args);
  }

  finalize(...args: Parameters<Device['finalize']>): void {
    this.opened.finalize(...args);
  }

  updateRunning(...args: Parameters<Device['updateRunning']>): void {
    this.opened.updateRunning(...args);
  }

  evaluationStatistics(...args: Parameters<Device['evaluationStatistics']>): void {
    this.opened.evaluationStatistics(...args);
  }

  normalize(...args: Parameters<Device['normalize']>): void {
    this.opened.normalize(...args);
  }

  backwardParameters(...args: Parameters<Device['backwardParameters']>): void {
    this.opened.backwardParameters(...args);
  }

  backwardInput(...args: Parameters<Device['backwardInput']>): void {
    this.opened.backwardInput(...args);
  }

  group(devices: readonly Device[]): DeviceGroup | null {
    return this.opened.group?.(devices) ?? null;
  }

  /** @throws NotInitializedError before the device is ready. */
  protected get opened(): Opened {
    if (this.#opened === null) {
      throw this.#closed ?? new NotInitializedError(this.name);
    }
    return this.#opened;
  }

  async #openOnce(): Promise<void> {
    const opened = await this.#open(this);
    if (this.#closed !== null) {
      await opened.close();
      throw this.#closed;
    }
    opened.memoryLimit = this.#memoryLimit;
    this.#opened = opened;
  }
}
