/**
 * A device in the calling thread: an instance of the CPU kernels with its own memory. Commands are done when they return;
 * several of these devices take turns on one core.
 */

import { DeviceLostError, DeviceMismatchError, NotInitializedError, OutOfMemoryError } from '../errors.ts';
import {
  type CpuInstance,
  type CpuKernels,
  instantiateCpuKernels,
  isTrap,
  translateKernelError,
} from '../wasm/cpu_kernels.ts';
import type { Command, Device, DeviceBuffer, DeviceDetails, MemoryUsage, Reduction, Rows } from './device.ts';
import { endToEnd } from './end_to_end.ts';
import { commandTable, KernelCall, reductionTable } from './kernel_call.ts';

/** What a buffer has instead of a number once it was released. */
const RELEASED = -1;

/** Of the 4 GiB that a WebAssembly memory can have, 128 MiB stay for partials: a kernel that found no room for its own would trap. */
const MOST_BYTES = 2 ** 32 - 2 ** 27;

class CpuBuffer implements DeviceBuffer {
  readonly device: CpuDevice;
  readonly length: number;
  /** {@link RELEASED} after release. */
  handle: number;

  constructor(device: CpuDevice, length: number, handle: number) {
    this.device = device;
    this.length = length;
    this.handle = handle;
  }
}

/**
 * `cpu:0`, `cpu:1`, …
 *
 * A kernel that traps takes the device with it: the call that trapped throws a {@link DeviceLostError}, everything asked later
 * throws the same one, and the memory is given back at once.
 */
export class CpuDevice implements Device {
  readonly kind = 'cpu';
  /** Bytes that the buffers of any device with these kernels may have together. */
  readonly mostBytes = MOST_BYTES;
  readonly name: string;
  readonly #compile: () => Promise<WebAssembly.Module>;
  /** Once compiled. */
  #module: WebAssembly.Module | null = null;
  #instance: CpuInstance | null = null;
  #lost: DeviceLostError | null = null;
  #memoryLimit = Infinity;
  readonly #call = new KernelCall({
    input: (buffer) => this.#inUse(buffer).handle,
    output: (buffer) => this.#inUse(buffer).handle,
  });

  /** @param compile - gives the compiled kernels. */
  constructor(name: string, compile: () => Promise<WebAssembly.Module>) {
    this.name = name;
    this.#compile = compile;
  }

  /** Also of a lost device, where every command says so. */
  get isReady(): boolean {
    return this.#instance !== null || this.#lost !== null;
  }

  async ready(): Promise<void> {
    const module = await this.#compile();
    if (this.#lost !== null) {
      throw this.#lost;
    }
    if (this.#instance === null) {
      this.#instantiate(module);
    }
  }

  /** Why the device can be given nothing more. */
  get lost(): DeviceLostError | null {
    return this.#lost;
  }

  /** Ends the device and gives its memory back, for this reason if it is the first. */
  lose(operation: string, options: ConstructorParameters<typeof DeviceLostError>[2]): DeviceLostError {
    this.#lost ??= new DeviceLostError(this.name, operation, options);
    this.#instance = null;
    return this.#lost;
  }

  /** A fresh device for the name of this one, which it ends; ready if this one is, so that what need not wait still need not. */
  succeed(): CpuDevice {
    const successor = new CpuDevice(this.name, this.#compile);
    if (this.#module !== null) {
      successor.#instantiate(this.#module);
    }
    this.lose('close', { cause: new Error('it was closed') });
    return successor;
  }

  get memoryLimit(): number {
    return this.#memoryLimit;
  }

  set memoryLimit(bytes: number) {
    this.#memoryLimit = bytes;
    if (this.#instance !== null) {
      this.#limitMemory(this.#instance);
    }
  }

  memoryUsage(): MemoryUsage {
    if (this.#instance === null) {
      return { bytesInUse: 0, bytesPeak: 0, bytesPooled: 0, bytesReserved: 0, buffers: 0 };
    }
    const { bytesInUse, bytesPeak, bytesPooled, buffers } = this.#instance.kernels;
    return { bytesInUse, bytesPeak, bytesPooled, bytesReserved: this.#instance.memory.buffer.byteLength, buffers };
  }

  details(): DeviceDetails {
    return { adapter: 'calling thread', isSoftware: false, traffic: null, work: null };
  }

  /** Bytes that a buffer of `length` values counts for, on any device with these kernels; nothing when none can be that large. */
  bufferBytes(length: number): number | undefined {
    return isTooLong(length)
      ? undefined
      : this.#manage('bufferBytes', length, (kernels) => kernels.bufferBytes(length));
  }

  allocate(length: number): DeviceBuffer {
    const instance = this.#opened;
    const { kernels } = instance;
    if (isTooLong(length)) {
      throw new OutOfMemoryError(this.name, length * Float32Array.BYTES_PER_ELEMENT, kernels.bytesInUse);
    }
    try {
      return new CpuBuffer(this, length, kernels.allocate(length));
    } catch (error) {
      throw this.#failure(error, instance, 'allocate', `${length} values`);
    }
  }

  /** Never fails for a trap: whoever gives memory back may be dealing with another error. The next command tells. */
  release(buffer: DeviceBuffer): void {
    const own = this.#inUse(buffer);
    const { handle } = own;
    own.handle = RELEASED;
    const instance = this.#instance;
    if (this.#lost !== null || instance === null) {
      return;
    }
    try {
      instance.kernels.release(handle);
    } catch (error) {
      const failure = this.#failure(error, instance, 'release', `${own.length} values`);
      if (failure !== this.#lost) {
        throw failure as Error;
      }
    }
  }

  write(buffer: DeviceBuffer, data: Float32Array): void {
    this.#view(buffer).set(data);
  }

  read(buffer: DeviceBuffer): Promise<Float32Array> {
    return this.readRows({ buffer, offset: 0, stride: buffer.length }, buffer.length, 1);
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- What a device throws while reading rejects the promise.
  async readRows(source: Rows, rowLength: number, rows: number): Promise<Float32Array<ArrayBuffer>> {
    const values = this.#view(source.buffer);
    if (rows === 1) {
      return values.slice(source.offset, source.offset + rowLength);
    }
    const copy = new Float32Array(rows * rowLength);
    this.readInto(source, rowLength, rows, copy);
    return copy;
  }

  /** Rows of a buffer, end to end, put into an array. */
  readInto(source: Rows, rowLength: number, rows: number, target: Float32Array): void {
    copyRows(this.#view(source.buffer), source, target, { offset: 0, stride: rowLength }, rowLength, rows);
  }

  writeRows(values: Float32Array, target: Rows, rowLength: number, rows: number): void {
    copyRows(values, { offset: 0, stride: rowLength }, this.#view(target.buffer), target, rowLength, rows);
  }

  copyRows(source: Rows, target: Rows, rowLength: number, rows: number): void | Promise<void> {
    const { buffer } = source;
    if (buffer instanceof CpuBuffer) {
      copyRows(buffer.device.#view(buffer), source, this.#view(target.buffer), target, rowLength, rows);
      return;
    }
    return (
      buffer.device.copyOut?.(source, target, rowLength, rows) ??
      buffer.device.readRows(source, rowLength, rows).then((values) => this.writeRows(values, target, rowLength, rows))
    );
  }

  run(command: Command): void {
    this.runAll([command]);
  }

  /**
   * Runs at most four commands, one after another, in one call of WebAssembly: a call takes as long as a small kernel. They share the bytes that they are given,
   * whose partials are merged once.
   * @throws as {@link run}; what came before the command that fails has been done then.
   */
  runAll(commands: readonly Command[]): void {
    const instance = this.#opened;
    const { kernels, calls } = instance;
    this.#call.words = calls.words;
    this.#call.fillWithAll(commands);
    try {
      kernels.run(this.#call.numbers, calls.put(this.#call.bytes));
    } catch (error) {
      const operation = commands.map((command) => command.operation).join(', ');
      const work = commands.map((command) => commandTable.describeWork(command)).join(', ');
      throw this.#failure(error, instance, operation, work);
    }
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- What a kernel throws must reject the promise.
  async reduce(reduction: Reduction): Promise<Uint8Array> {
    return this.reduceNow(reduction);
  }

  /** What {@link reduce} gives, at once. */
  reduceNow(reduction: Reduction): Uint8Array {
    return this.reduceInPlace(reduction).slice();
  }

  /** The same where it lies in the memory of the device, which keeps it until it is given something else to do. */
  reduceInPlace(reduction: Reduction): Uint8Array {
    const instance = this.#opened;
    const { kernels, calls } = instance;
    this.#call.words = calls.words;
    this.#call.fill(reductionTable, reduction);
    try {
      return calls.partial(kernels.reduce(this.#call.number, calls.put(this.#call.bytes)));
    } catch (error) {
      throw this.#failure(error, instance, reduction.operation, reductionTable.describeWork(reduction));
    }
  }

  /**
   * What {@link merge} gives, at once, of partials that lie end to end.
   * @throws PartialError
   */
  mergeBytes(partials: Uint8Array): Uint8Array {
    return this.#manage('merge', 'partials', (kernels) => kernels.merge(partials));
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- What a kernel throws must reject the promise.
  async merge(partials: readonly Uint8Array[]): Promise<Uint8Array> {
    return this.mergeBytes(endToEnd(partials));
  }

  /**
   * Calls a kernel that manages memory or merges, of those that do not run several times per layer.
   * @param work - what it works on, for the error of a device that is lost: so many values, or what a text says.
   */
  #manage<T>(operation: string, work: number | string, command: (kernels: CpuKernels) => T): T {
    const instance = this.#opened;
    try {
      return command(instance.kernels);
    } catch (error) {
      throw this.#failure(error, instance, operation, typeof work === 'number' ? `${work} values` : work);
    }
  }

  /** The library's error for what a kernel has thrown. A trap ends the device. */
  #failure(error: unknown, instance: CpuInstance, operation: string, shapes: string): unknown {
    if (!isTrap(error, instance)) {
      return translateKernelError(error, this.name);
    }
    const { message } = error as Error;
    const cause = new Error(`a kernel has trapped (${message}), please report this`, { cause: error });
    return this.lose(operation, { cause, shapes });
  }

  /** @throws DeviceLostError; NotInitializedError before the device is ready. */
  get #opened(): CpuInstance {
    if (this.#instance === null) {
      throw this.#lost ?? new NotInitializedError(this.name);
    }
    return this.#instance;
  }

  #instantiate(module: WebAssembly.Module): void {
    this.#module = module;
    this.#instance = instantiateCpuKernels(module);
    this.#limitMemory(this.#instance);
  }

  #limitMemory({ kernels }: CpuInstance): void {
    kernels.memoryLimit = Math.min(this.#memoryLimit, this.mostBytes);
  }

  #own(buffer: DeviceBuffer): CpuBuffer {
    if (!(buffer instanceof CpuBuffer) || buffer.device !== this) {
      throw new DeviceMismatchError('command', [this.name, buffer.device.name]);
    }
    return buffer;
  }

  /** @throws RangeError for a buffer that was released: the kernels would take its place for an argument that is absent. */
  #inUse(buffer: DeviceBuffer): CpuBuffer {
    const own = this.#own(buffer);
    if (own.handle === RELEASED) {
      throw new RangeError(`device ${this.name}: expected a buffer in use, got one that was released`);
    }
    return own;
  }

  /** The values of a buffer. Growing the memory detaches views, so none is kept. */
  #view(buffer: DeviceBuffer): Float32Array {
    const { memory } = this.#opened;
    const { handle, length } = this.#inUse(buffer);
    const address = this.#manage('address', length, (kernels) => kernels.address(handle));
    return new Float32Array(memory.buffer, address, length);
  }
}

/** Whether no memory holds so many values. The kernels, whose numbers have 32 bits, would take a longer buffer for a short one. */
function isTooLong(length: number): boolean {
  return length * Float32Array.BYTES_PER_ELEMENT > MOST_BYTES;
}

/** Where rows lie in an array. */
type Places = Omit<Rows, 'buffer'>;

/** Copies within one memory or between two; the views may overlap, as `set` allows. */
function copyRows(
  source: Float32Array,
  from: Places,
  target: Float32Array,
  to: Places,
  rowLength: number,
  rows: number,
): void {
  if (from.stride === rowLength && to.stride === rowLength) {
    target.set(source.subarray(from.offset, from.offset + rows * rowLength), to.offset);
    return;
  }
  for (let row = 0; row < rows; row += 1) {
    const begin = from.offset + row * from.stride;
    target.set(source.subarray(begin, begin + rowLength), to.offset + row * to.stride);
  }
}
