/**
 * A WebGPU device: its memory, and the kernels of `crates/gpu` by name.
 *
 * Commands that are given without a pause between share a submit. What goes wrong on the GPU is known later only: it is told by
 * whatever is read next, or asked for next. Loaded when the first WebGPU device is made ready.
 */

import { DeviceMismatchError } from '../errors.ts';
import type { BufferAdopter, GpuBindings, GpuKernels } from '../wasm/gpu_kernels.ts';
import type {
  BatchLayout,
  Command,
  Device,
  DeviceBuffer,
  DeviceDetails,
  MemoryUsage,
  Reduction,
  Rows,
} from './device.ts';
import { endToEnd } from './end_to_end.ts';
import { commandTable, KernelCall, reductionTable } from './kernel_call.ts';
import { Compiling } from './webgpu_compiling.ts';
import { type DoubtfulBuffer, Doubts, settle } from './webgpu_doubts.ts';
import type { OpenWebGpu, WebGpuOrigin } from './webgpu_origin.ts';
import { WebGpuFailures } from './webgpu_failures.ts';
import { Holding } from './webgpu_holding.ts';
import { Nudging } from './webgpu_nudging.ts';
import { openKernels } from './webgpu_open.ts';
import { isNode } from '../platform_modules.ts';
import { checkForeignBuffer, checkOwner, holdsVectors } from './webgpu_sharing.ts';

/** What a buffer has instead of its number from 1 once it was released. */
const RELEASED = 0;

const BYTES_PER_VALUE = 4;

class WebGpuBuffer implements DeviceBuffer, DoubtfulBuffer {
  readonly device: Device;
  readonly length: number;
  /** {@link RELEASED} after release. */
  handle: number;
  isShared: boolean;
  doubt: Promise<void> | null = null;
  failure: Error | null = null;
  /** Whether kernels cannot read the buffer in place, since it ends in the middle of a vector. */
  endsInVector = false;
  /** Tells the owner of an adopted buffer, once, that it is no longer needed. */
  onRelease: (() => void) | null = null;

  constructor(device: Device, length: number, handle: number, isShared: boolean) {
    this.device = device;
    this.length = length;
    this.handle = handle;
    this.isShared = isShared;
  }
}

/**
 * Opens a device.
 * @param face - the device as everybody else sees it.
 * @throws NoWebGpuError, NoAdapterError, DeviceLimitError
 */
export async function openWebGpuDevice(face: Device, origin: WebGpuOrigin): Promise<OpenWebGpu> {
  const failures = new WebGpuFailures(face.name);
  const { kernels, bindings } = await openKernels(face.name, origin, failures);
  const isOwn = !('adopted' in origin);
  const { gpuDevice } = kernels;
  void gpuDevice.lost.then(({ message }) => failures.lose('a pause', new Error(message)));
  if (isOwn) {
    tellOfDestruction(gpuDevice, failures);
  }
  // A platform that does not let it be made has all the rest; who adopts a buffer is told.
  const adopter = await bindings.bufferAdopter().catch(() => null);
  return new OpenDevice(face, { kernels, bindings, failures, isOwn, adopter });
}

/** The platform tells of a loss later. What is given meanwhile would be done by nobody, and nobody would say so. */
function tellOfDestruction(gpuDevice: GPUDevice, failures: WebGpuFailures): void {
  const destroy = gpuDevice.destroy.bind(gpuDevice);
  const value = (): undefined => {
    failures.lose('a pause', new Error('its GPUDevice was destroyed'));
    destroy();
    return undefined;
  };
  Object.defineProperty(gpuDevice, 'destroy', { value, configurable: true, writable: true });
}

interface Parts {
  readonly kernels: GpuKernels;
  readonly bindings: GpuBindings;
  readonly failures: WebGpuFailures;
  /** Whether the device is not adopted. */
  readonly isOwn: boolean;
  readonly adopter: BufferAdopter | null;
}

class OpenDevice implements OpenWebGpu {
  readonly #platformDevice: GPUDevice;
  readonly #face: Device;
  readonly #kernels: GpuKernels;
  readonly #bindings: GpuBindings;
  readonly #failures: WebGpuFailures;
  readonly #isOwn: boolean;
  readonly #holding: Holding;
  readonly #doubts: Doubts;
  readonly #compiling: Compiling;
  #adopter: BufferAdopter | null;
  /** Adopted buffers whose owners have not been told that they are no longer needed. */
  readonly #lent = new Set<WebGpuBuffer>();
  /** Copies that the command which is being given reads. */
  readonly #copies: number[] = [];
  /** `null` where answers come by themselves. */
  readonly #nudging: Nudging | null;
  readonly #call = new KernelCall({
    input: (buffer) => this.#input(buffer),
    output: (buffer) => this.#output(buffer),
  });

  constructor(face: Device, { kernels, bindings, failures, isOwn, adopter }: Parts) {
    this.#platformDevice = kernels.gpuDevice;
    this.#face = face;
    this.#kernels = kernels;
    this.#bindings = bindings;
    this.#failures = failures;
    this.#isOwn = isOwn;
    this.#holding = new Holding(kernels, failures, isOwn);
    this.#doubts = new Doubts(kernels, failures);
    this.#compiling = new Compiling(kernels, failures);
    this.#nudging = isNode() ? null : new Nudging(this.#platformDevice.queue);
    this.#adopter = adopter;
    failures.bytesInUse = () => kernels.bytesInUse;
    failures.whenLost = () => this.#lent.forEach((lent) => this.#giveBack(lent));
  }

  /** What has been given before is submitted. */
  get gpuDevice(): GPUDevice {
    if (!this.#failures.hasTrapped) {
      this.#kernels.submit();
    }
    return this.#platformDevice;
  }

  close(): Promise<void> {
    this.#failures.lose('close', new Error('it was closed'));
    if (!this.#failures.hasTrapped) {
      this.#kernels.destroy();
    } else if (this.#isOwn) {
      this.#platformDevice.destroy();
    }
    return Promise.resolve();
  }

  get memoryLimit(): number {
    return this.#kernels.memoryLimit;
  }

  set memoryLimit(bytes: number) {
    this.#kernels.memoryLimit = bytes;
  }

  memoryUsage(): MemoryUsage {
    if (this.#failures.hasTrapped) {
      return { bytesInUse: 0, bytesPeak: 0, bytesPooled: 0, bytesReserved: 0, buffers: 0 };
    }
    const { bytesInUse, bytesPeak, bytesPooled, buffers } = this.#kernels;
    return { bytesInUse, bytesPeak, bytesPooled, bytesReserved: bytesInUse + bytesPooled, buffers };
  }

  details(): DeviceDetails {
    if (this.#failures.hasTrapped) {
      return { adapter: 'lost', isSoftware: false, traffic: null, work: null };
    }
    const { adapterName, isSoftware, dispatches, submits, bytesRead, bytesWritten, allocations, pipelines } =
      this.#kernels;
    const work = { dispatches, submits, bytesRead, bytesWritten, allocations, pipelines };
    // Pages are told no description by most browsers; older ones have no `adapterInfo`.
    const info = this.#platformDevice.adapterInfo as GPUAdapterInfo | undefined;
    const adapter = adapterName || `${info?.vendor ?? ''} ${info?.architecture ?? ''}`.trim() || 'GPU';
    return { adapter, isSoftware, traffic: null, work };
  }

  warmUp({ channels, length, format }: Omit<BatchLayout, 'samples'>): Promise<void> {
    this.#give('warmUp', (kernels) => kernels.warmUp(channels, length, format === 'channels_last'));
    return this.#compiling.done();
  }

  gpuBuffer(buffer: DeviceBuffer): GPUBuffer {
    const own = this.#own(buffer);
    const handedOut = this.#give('gpuBuffer', (kernels) => kernels.gpuBuffer(own.handle));
    own.isShared = true;
    return handedOut;
  }

  async adoptBuffer(buffer: GPUBuffer, length: number, onRelease?: () => void): Promise<DeviceBuffer> {
    this.#adopter ??= await this.#bindings.bufferAdopter();
    const adopted = this.adoptBufferNow(buffer, length, onRelease);
    try {
      await this.confirm(adopted);
      return adopted;
    } catch (error) {
      this.release(adopted);
      throw error;
    }
  }

  adoptBufferNow(buffer: GPUBuffer, length: number, onRelease: (() => void) | null = null): DeviceBuffer {
    checkForeignBuffer(buffer, length * BYTES_PER_VALUE, this.#face.name);
    const adopter = this.#adopter;
    if (adopter === null) {
      throw new RangeError(
        `device ${this.#face.name}: cannot adopt a GPUBuffer at once on this platform; await tensorFromGPUBuffer()`,
      );
    }
    const { size, usage } = buffer;
    const own = this.#give('adoptBuffer', (kernels) => {
      const handle = kernels.adoptBuffer(adopter, buffer, size, usage, length);
      return new WebGpuBuffer(this.#face, length, handle, true);
    });
    own.endsInVector = !holdsVectors(size, length * BYTES_PER_VALUE);
    own.onRelease = onRelease;
    this.#lent.add(own);
    const doubt = checkOwner(buffer, this.#platformDevice, this.#face.name);
    own.doubt = doubt;
    doubt.then(
      () => settle([own], doubt, null),
      (error: unknown) => {
        settle([own], doubt, error as Error);
        this.#giveBack(own);
      },
    );
    return own;
  }

  allocate(length: number): DeviceBuffer {
    return this.#give('allocate', (kernels) => new WebGpuBuffer(this.#face, length, kernels.allocate(length), false));
  }

  /** Also on a lost device, where nothing is left to be given back but its place in the account. */
  release(buffer: DeviceBuffer): void {
    const own = this.#own(buffer);
    if (!this.#failures.hasTrapped) {
      this.#kernels.release(own.handle);
    }
    own.handle = RELEASED;
    this.#giveBack(own);
  }

  write(buffer: DeviceBuffer, data: Float32Array): void {
    this.#give('write', (kernels) => {
      const handle = this.#output(buffer);
      if (kernels.isWaiting) {
        kernels.write(handle, data);
        return;
      }
      // Platforms differ in whether they take memory that threads share.
      const { buffer: memory, byteOffset, byteLength } = data.buffer instanceof ArrayBuffer ? data : data.slice();
      this.#platformDevice.queue.writeBuffer(kernels.writableBuffer(handle), 0, memory, byteOffset, byteLength);
    });
  }

  confirm(buffer: DeviceBuffer): Promise<void> | null {
    const { failure, doubt } = this.#own(buffer);
    return failure === null ? doubt : Promise.reject(failure);
  }

  read(buffer: DeviceBuffer): Promise<Float32Array<ArrayBuffer>> {
    return this.#ask('read', (kernels) => kernels.read(this.#input(buffer)));
  }

  async readRows(source: Rows, rowLength: number, rows: number): Promise<Float32Array<ArrayBuffer>> {
    if (isWhole(source, rowLength, rows)) {
      return this.read(source.buffer);
    }
    return this.#withPacked(rowLength * rows, (packed) => {
      this.copyRows(source, { buffer: packed, offset: 0, stride: rowLength }, rowLength, rows);
      return this.read(packed);
    });
  }

  writeRows(values: Float32Array<ArrayBuffer>, target: Rows, rowLength: number, rows: number): void {
    if (isWhole(target, rowLength, rows)) {
      this.write(target.buffer, values);
      return;
    }
    this.#withPacked(values.length, (packed) => {
      this.write(packed, values);
      this.copyRows({ buffer: packed, offset: 0, stride: rowLength }, target, rowLength, rows);
    });
  }

  copyRows(source: Rows, target: Rows, rowLength: number, rows: number): void {
    this.#give('copyRows', (kernels) =>
      kernels.copyRows(
        this.#input(source.buffer),
        source.offset,
        source.stride,
        this.#output(target.buffer),
        target.offset,
        target.stride,
        rowLength,
        rows,
      ),
    );
  }

  run(command: Command): void {
    this.#give(command.operation, (kernels) => {
      this.#call.fill(commandTable, command);
      const { number, words, bytes } = this.#call;
      kernels.run(number, words, bytes);
    });
  }

  reduce(reduction: Reduction): Promise<Uint8Array> {
    return this.#ask(reduction.operation, (kernels) => {
      this.#call.fill(reductionTable, reduction);
      const { number, words, bytes } = this.#call;
      return kernels.reduce(number, words, bytes);
    });
  }

  /** Partials end to end: each device merges them by the kernel that merges its own, so that all have the bits of one. */
  merge(partials: readonly Uint8Array[]): Promise<Uint8Array> {
    const merged = endToEnd(partials);
    return this.#ask('merge', () => {
      this.#bindings.checkPartials(merged);
      return Promise.resolve(merged);
    });
  }

  #give<T>(operation: string, command: (kernels: GpuKernels) => T): T {
    this.#failures.check();
    this.#holding.begin();
    try {
      return command(this.#kernels);
    } catch (error) {
      throw this.#failures.translate(error, operation);
    } finally {
      void this.#end();
    }
  }

  /** A command whose result is read back. What has failed on the GPU until then rejects. */
  async #ask<T>(operation: string, command: (kernels: GpuKernels) => Promise<T>): Promise<T> {
    this.#failures.check();
    try {
      let doubt: Promise<void> | null = null;
      let answer: Promise<T>;
      try {
        answer = command(this.#kernels);
      } catch (error) {
        throw this.#failures.translate(error, operation);
      } finally {
        doubt = this.#end();
      }
      const result = await (this.#nudging?.hasten(answer) ?? answer);
      await doubt;
      return result;
    } catch (error) {
      throw this.#failures.translate(error, operation);
    }
  }

  /** A command has been given. Returns the doubt about what it writes. */
  #end(): Promise<void> | null {
    if (this.#failures.hasTrapped) {
      return null;
    }
    // Commands take effect in order, so what this one reads may go as soon as it is given.
    this.#copies.splice(0).forEach((copy) => this.#kernels.release(copy));
    const doubt = this.#doubts.end();
    if (this.#kernels.isWaiting) {
      this.#compiling.begin();
    }
    return doubt;
  }

  /** Runs commands with a buffer of their own; it may go as soon as they are given, for they take effect in order. */
  #withPacked<T>(length: number, commands: (packed: DeviceBuffer) => T): T {
    const packed = this.allocate(length);
    try {
      return commands(packed);
    } finally {
      this.release(packed);
    }
  }

  /** Tells the owner of an adopted buffer that it is no longer needed: when all commands that use it have been submitted. */
  #giveBack(own: WebGpuBuffer): void {
    const { onRelease } = own;
    this.#lent.delete(own);
    own.onRelease = null;
    if (onRelease === null) {
      return;
    }
    const tell = (): void => {
      if (!this.#failures.isLost) {
        this.#kernels.submit();
      }
      onRelease();
    };
    if (!this.#failures.isLost && this.#kernels.isWaiting) {
      void this.#compiling.done().then(tell);
    } else {
      tell();
    }
  }

  /** What a command reads. */
  #input(buffer: DeviceBuffer): number {
    const own = this.#own(buffer);
    this.#doubts.read(own);
    return own.endsInVector ? this.#copyOf(own) : own.handle;
  }

  /** A copy that ends with a whole vector, for the command that is being given. Its owner may write to the buffer before the next one. */
  #copyOf({ handle, length }: WebGpuBuffer): number {
    const copy = this.#kernels.allocate(length);
    this.#copies.push(copy);
    this.#kernels.copyRows(handle, 0, length, copy, 0, length, length, 1);
    return copy;
  }

  /** What a command writes. */
  #output(buffer: DeviceBuffer): number {
    const own = this.#own(buffer);
    this.#doubts.write(own);
    return own.handle;
  }

  #own(buffer: DeviceBuffer): WebGpuBuffer {
    if (!(buffer instanceof WebGpuBuffer) || buffer.device !== this.#face) {
      throw new DeviceMismatchError('command', [this.#face.name, buffer.device.name]);
    }
    if (buffer.handle === RELEASED) {
      throw new RangeError(`device ${this.#face.name}: expected a buffer in use, got one that was released`);
    }
    return buffer;
  }
}

/** Whether rows are all of a buffer, end to end. */
function isWhole({ buffer, offset, stride }: Rows, rowLength: number, rows: number): boolean {
  return offset === 0 && rowLength * rows === buffer.length && (rows === 1 || stride === rowLength);
}
