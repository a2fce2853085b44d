/**
 * A WebGPU device: its memory, and the kernels of `crates/gpu` by name.
 *
 * Commands that are given without a pause between share a submit. What goes wrong on the GPU is known later only: it is told by
 * whatever is read next, or asked for next. Loaded when the first WebGPU device is made ready.
 */

import type { GpuKernels } from '../wasm/gpu_kernels.ts';
import type {
  BackwardInputArguments,
  BatchLayout,
  BatchNormArguments,
  BatchNormBackwardArguments,
  Device,
  DeviceBuffer,
  DeviceDetails,
  MemoryUsage,
  NormalizeArguments,
  Rows,
  ShardArguments,
} from './device.ts';
import type { Essentials } from './lazy_device.ts';
import type { OpenWebGpu, WebGpuOrigin } from './webgpu_face.ts';
import { WebGpuFailures } from './webgpu_failures.ts';
import { Holding } from './webgpu_holding.ts';
import { Nudging } from './webgpu_nudging.ts';
import { openKernels } from './webgpu_open.ts';
import { isNode } from './webgpu_platform.ts';
import { checkForeignBuffer } from './webgpu_sharing.ts';

/** Buffers of the kernels have numbers from 1. */
const ABSENT = 0;

const BYTES_PER_VALUE = 4;

class WebGpuBuffer implements DeviceBuffer {
  readonly device: Device;
  readonly length: number;
  /** {@link ABSENT} after release. */
  handle: number;

  constructor(device: Device, length: number, handle: number) {
    this.device = device;
    this.length = length;
    this.handle = handle;
  }
}

/**
 * Opens a device.
 * @param face - the device as everybody else sees it.
 * @throws NoWebGpuError, NoAdapterError, DeviceLimitError
 */
export async function openWebGpuDevice(
  face: Device,
  essentials: Essentials,
  origin: WebGpuOrigin,
): Promise<OpenWebGpu> {
  const failures = new WebGpuFailures(face.name, essentials.errors);
  const kernels = await openKernels(face.name, essentials, origin, failures);
  const holding = new Holding(kernels, !('adopted' in origin), essentials);
  return new OpenDevice(face, essentials, kernels, failures, holding);
}

class OpenDevice implements OpenWebGpu {
  readonly #platformDevice: GPUDevice;
  readonly #face: Device;
  readonly #essentials: Essentials;
  readonly #kernels: GpuKernels;
  readonly #failures: WebGpuFailures;
  readonly #holding: Holding;
  /** `null` where answers come by themselves. */
  readonly #nudging: Nudging | null;

  constructor(face: Device, essentials: Essentials, kernels: GpuKernels, failures: WebGpuFailures, holding: Holding) {
    this.#platformDevice = kernels.gpuDevice;
    this.#face = face;
    this.#essentials = essentials;
    this.#kernels = kernels;
    this.#failures = failures;
    this.#holding = holding;
    this.#nudging = isNode() ? null : new Nudging(this.#platformDevice.queue);
    failures.bytesInUse = () => kernels.bytesInUse;
    void this.#platformDevice.lost.then(({ message }) => failures.lose('a pause', new Error(message)));
  }

  /** What has been given before is submitted. */
  get gpuDevice(): GPUDevice {
    this.#holding.submit();
    return this.#platformDevice;
  }

  close(): Promise<void> {
    this.#failures.lose('close', new Error('it was closed'));
    this.#kernels.destroy();
    return Promise.resolve();
  }

  get memoryLimit(): number {
    return this.#kernels.memoryLimit;
  }

  set memoryLimit(bytes: number) {
    this.#kernels.memoryLimit = bytes;
  }

  memoryUsage(): MemoryUsage {
    const { bytesInUse, bytesPeak, bytesPooled, buffers } = this.#kernels;
    return { bytesInUse, bytesPeak, bytesPooled, bytesReserved: bytesInUse + bytesPooled, buffers };
  }

  details(): DeviceDetails {
    const { adapterName, isSoftware, dispatches, submits, bytesRead, bytesWritten, allocations, pipelines } =
      this.#kernels;
    const work = { dispatches, submits, bytesRead, bytesWritten, allocations, pipelines };
    // Pages are told no description by most browsers; older ones have no `adapterInfo`.
    const info = this.#platformDevice.adapterInfo as GPUAdapterInfo | undefined;
    const adapter = adapterName || `${info?.vendor ?? ''} ${info?.architecture ?? ''}`.trim() || 'GPU';
    return { adapter, isSoftware, traffic: null, work };
  }

  warmUp({ channels, length, format }: Omit<BatchLayout, 'samples'>): void {
    this.#call('warmUp', (kernels) => kernels.warmUp(channels, length, format === 'channels_last'));
  }

  gpuBuffer(buffer: DeviceBuffer): GPUBuffer {
    return this.#call('gpuBuffer', (kernels) => kernels.gpuBuffer(this.#handle(buffer)));
  }

  async adoptBuffer(buffer: GPUBuffer, length: number): Promise<DeviceBuffer> {
    const { errors } = this.#essentials;
    await checkForeignBuffer(buffer, length * BYTES_PER_VALUE, this.#platformDevice, this.#face.name, errors);
    return this.#call(
      'adoptBuffer',
      (kernels) => new WebGpuBuffer(this.#face, length, kernels.adoptBuffer(buffer, buffer.size, buffer.usage, length)),
    );
  }

  allocate(length: number): DeviceBuffer {
    return this.#call('allocate', (kernels) => new WebGpuBuffer(this.#face, length, kernels.allocate(length)));
  }

  /** Also on a lost device, where nothing is left to be given back but its place in the account. */
  release(buffer: DeviceBuffer): void {
    const own = this.#own(buffer);
    this.#kernels.release(own.handle);
    own.handle = ABSENT;
  }

  write(buffer: DeviceBuffer, data: Float32Array): void {
    this.#call('write', (kernels) => {
      const target = kernels.writableBuffer(this.#handle(buffer));
      this.#platformDevice.queue.writeBuffer(target, 0, data.buffer, data.byteOffset, data.byteLength);
    });
  }

  read(buffer: DeviceBuffer): Promise<Float32Array<ArrayBuffer>> {
    return this.#ask('read', (kernels) => kernels.read(this.#handle(buffer)));
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
    this.#call('copyRows', (kernels) =>
      kernels.copyRows(
        this.#handle(source.buffer),
        source.offset,
        source.stride,
        this.#handle(target.buffer),
        target.offset,
        target.stride,
        rowLength,
        rows,
      ),
    );
  }

  fill(target: DeviceBuffer, value: number): void {
    this.#call('fill', (kernels) => kernels.fill(this.#handle(target), value));
  }

  add(a: DeviceBuffer, b: DeviceBuffer, target: DeviceBuffer): void {
    this.#call('add', (kernels) => kernels.add(this.#handle(a), this.#handle(b), this.#handle(target)));
  }

  permute(source: DeviceBuffer, target: DeviceBuffer, layout: BatchLayout): void {
    this.#call('permute', (kernels) => kernels.permute(this.#handle(source), this.#handle(target), ...shape(layout)));
  }

  batchNorm(args: BatchNormArguments): void {
    const { running } = args;
    this.#call('batchNorm', (kernels) =>
      kernels.batchNorm(
        this.#handle(args.x),
        this.#handle(args.y),
        ...shape(args.layout),
        args.eps,
        this.#handle(args.weight),
        this.#handle(args.bias),
        this.#handle(args.statistics),
        this.#handle(running?.mean),
        this.#handle(running?.variance),
        this.#handle(running?.nextMean),
        this.#handle(running?.nextVariance),
        running?.momentum ?? 0,
      ),
    );
  }

  batchNormBackward(args: BatchNormBackwardArguments): void {
    this.#call('batchNormBackward', (kernels) =>
      kernels.batchNormBackward(
        this.#handle(args.x),
        this.#handle(args.dy),
        this.#handle(args.dx),
        ...shape(args.layout),
        this.#handle(args.statistics),
        this.#handle(args.weight),
        this.#handle(args.dweight),
        this.#handle(args.dbias),
        args.batchStatistics,
      ),
    );
  }

  moments({ x, layout, firstSample }: ShardArguments): Promise<Uint8Array> {
    return this.#ask('moments', (kernels) => kernels.moments(this.#handle(x), ...shape(layout), firstSample));
  }

  total(): Promise<Uint8Array> {
    return Promise.reject(this.#failures.torchNumerics());
  }

  deviations(): Promise<Uint8Array> {
    return Promise.reject(this.#failures.torchNumerics());
  }

  backwardReduce(args: Parameters<Device['backwardReduce']>[0]): Promise<Uint8Array> {
    const { dy, x, statistics, layout, firstSample } = args;
    return this.#ask('backwardReduce', (kernels) =>
      kernels.backwardReduce(
        this.#handle(dy),
        this.#handle(x),
        this.#handle(statistics),
        ...shape(layout),
        firstSample,
      ),
    );
  }

  /** Partials end to end: each device merges them by the kernel that merges its own, so that all have the bits of one. */
  merge(partials: readonly Uint8Array[]): Promise<Uint8Array> {
    return Promise.resolve(this.#essentials.endToEnd(partials));
  }

  finalize({ merged, eps, epsMode, statistics }: Parameters<Device['finalize']>[0]): void {
    this.#call('finalize', (kernels) => kernels.finalize(merged, eps, epsMode === 'clamp', this.#handle(statistics)));
  }

  updateRunning({ merged, running }: Parameters<Device['updateRunning']>[0]): void {
    this.#call('updateRunning', (kernels) =>
      kernels.updateRunning(
        merged,
        this.#handle(running.mean),
        this.#handle(running.variance),
        this.#handle(running.nextMean),
        this.#handle(running.nextVariance),
        running.momentum,
      ),
    );
  }

  evaluationStatistics(args: Parameters<Device['evaluationStatistics']>[0]): void {
    this.#call('evaluationStatistics', (kernels) =>
      kernels.evaluationStatistics(
        this.#handle(args.runningMean),
        this.#handle(args.runningVar),
        args.eps,
        this.#handle(args.statistics),
      ),
    );
  }

  normalize(args: NormalizeArguments): void {
    this.#call('normalize', (kernels) =>
      kernels.normalize(
        this.#handle(args.x),
        this.#handle(args.y),
        ...shape(args.layout),
        this.#handle(args.statistics),
        this.#handle(args.weight),
        this.#handle(args.bias),
      ),
    );
  }

  backwardParameters(args: Parameters<Device['backwardParameters']>[0]): void {
    this.#call('backwardParameters', (kernels) =>
      kernels.backwardParameters(
        args.sums,
        this.#handle(args.statistics),
        this.#handle(args.dweight),
        this.#handle(args.dbias),
      ),
    );
  }

  backwardInput(args: BackwardInputArguments): void {
    this.#call('backwardInput', (kernels) =>
      kernels.backwardInput(
        this.#handle(args.x),
        this.#handle(args.dy),
        this.#handle(args.dx),
        ...shape(args.layout),
        this.#handle(args.statistics),
        this.#handle(args.weight),
        args.sums,
        args.clampEps,
      ),
    );
  }

  #call<T>(operation: string, command: (kernels: GpuKernels) => T): T {
    this.#failures.check();
    this.#holding.begin();
    try {
      return command(this.#kernels);
    } catch (error) {
      throw this.#failures.translate(error, operation);
    }
  }

  /** A command whose result is read back. What has failed on the GPU until then rejects. */
  async #ask<T>(operation: string, command: (kernels: GpuKernels) => Promise<T>): Promise<T> {
    this.#failures.check();
    try {
      const answer = command(this.#kernels);
      return await (this.#nudging?.hasten(answer) ?? answer);
    } catch (error) {
      throw this.#failures.translate(error, operation);
    }
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

  #handle(buffer: DeviceBuffer | null | undefined): number {
    return buffer === null || buffer === undefined ? ABSENT : this.#own(buffer).handle;
  }

  #own(buffer: DeviceBuffer): WebGpuBuffer {
    if (!(buffer instanceof WebGpuBuffer) || buffer.device !== this.#face) {
      throw new this.#essentials.errors.DeviceMismatchError('command', [this.#face.name, buffer.device.name]);
    }
    if (buffer.handle === ABSENT) {
      throw new RangeError(`device ${this.#face.name}: expected a buffer in use, got one that was released`);
    }
    return buffer;
  }
}

/** A layout as the kernels take it. */
function shape({ samples, channels, length, format }: BatchLayout): [number, number, number, boolean] {
  return [samples, channels, length, format === 'channels_last'];
}

/** Whether rows are all of a buffer, end to end. */
function isWhole({ buffer, offset, stride }: Rows, rowLength: number, rows: number): boolean {
  return offset === 0 && rowLength * rows === buffer.length && (rows === 1 || stride === rowLength);
}
