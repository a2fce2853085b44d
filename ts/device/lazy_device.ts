/**
 * The face of a device whose program is loaded when it is made ready: a page that computes in the calling thread alone does
 * not load what workers or GPUs need.
 */

import { DeviceLostError, NotInitializedError } from '../errors.ts';
import type {
  Command,
  Device,
  DeviceBuffer,
  DeviceDetails,
  DeviceGroup,
  DeviceKind,
  MemoryUsage,
  Reduction,
  Rows,
} from './device.ts';

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

  run(command: Command): void {
    this.opened.run(command);
  }

  async reduce(reduction: Reduction): Promise<Uint8Array> {
    return this.opened.reduce(reduction);
  }

  async merge(partials: readonly Uint8Array[]): Promise<Uint8Array> {
    return this.opened.merge(partials);
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
