/**
 * The seam between the library and the machines that compute.
 *
 * A device owns memory and runs the commands of `commands.ts`. Everything above this file is written once, for any device.
 * Commands return at once and take effect in the order they were given; whatever is read back is a promise. A device checks
 * which buffers it is given. It checks nothing else that its callers have already checked: shapes, dtypes and arguments are the
 * business of the public border.
 */

import type { commands, OptionalKind, PresentKind, reductions, Row } from './commands.ts';
import type { groupCommands } from './group_commands.ts';

/** Order of the dimensions in memory: `contiguous` is (N, C, L), `channels_last` is (N, L, C). */
export type MemoryFormat = 'contiguous' | 'channels_last';

/** `stable`: the most accurate single-precision result. `torch`: PyTorch's CPU result, bit for bit. */
export type Numerics = 'stable' | 'torch';

/** How `eps` guards the inverse standard deviation: `1/√(var + eps)` or `1/√(max(var, eps))`. */
export type EpsMode = 'plus' | 'clamp';

/** The kinds of device that exist. */
export type DeviceKind = 'cpu' | 'worker' | 'webgpu';

/**
 * The name of a device: `'cpu'` is short for `'cpu:0'`, and so on. Any text is taken by the types, since names are often computed; one that names no
 * device is an `UnknownDeviceError`.
 */
export type DeviceName = DeviceKind | `${DeviceKind}:${number}` | (string & Record<never, never>);

/** A batch in memory: N samples, C channels, L values per sample and channel. */
export interface BatchLayout {
  readonly samples: number;
  readonly channels: number;
  readonly length: number;
  readonly format: MemoryFormat;
  /** What a step works on; absent: all. Partials then hold these channels alone. */
  readonly part?: ChannelRange | undefined;
}

/** Channels from the first number to before the second. */
export type ChannelRange = readonly [first: number, end: number];

/**
 * Rows of C values that a buffer of statistics has: `mean_hi`, `mean_lo`, `invstd_hi`, `invstd_lo`. Mean and inverse
 * deviation are the sums of two f32, so that neither spoils the last digit of the result.
 */
export const STATISTICS_ROWS = 4;

/** A piece of a device's memory, `length` f32 values long. Opaque to all but its device. */
export interface DeviceBuffer {
  readonly device: Device;
  readonly length: number;
}

/** Rows of equal length inside a buffer: row i begins at element `offset + i · stride`. */
export interface Rows {
  readonly buffer: DeviceBuffer;
  readonly offset: number;
  readonly stride: number;
}

/** What a device holds, in bytes. A device in another thread tells what it pools and reserves with each result. */
export interface MemoryUsage {
  /** Bytes of buffers in use. */
  readonly bytesInUse: number;
  /** The largest `bytesInUse` since the device was made. */
  readonly bytesPeak: number;
  /** Bytes of freed buffers kept for reuse. */
  readonly bytesPooled: number;
  /** Bytes the device has taken from the system, whatever they are used for. */
  readonly bytesReserved: number;
  /** Buffers in use. */
  readonly buffers: number;
}

/** What has travelled to a device in another thread, both ways together. */
export interface Traffic {
  readonly messages: number;
  /** Of commands as text, and of arrays; one that is lent counts both ways. */
  readonly bytes: number;
}

/** What the commands of a WebGPU device have cost since it was made. */
export interface GpuWork {
  /** Kernels started. */
  readonly dispatches: number;
  /** Command buffers submitted. */
  readonly submits: number;
  /** Bytes that kernels have read and written, each input and output counted once per kernel. */
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Buffers taken from the platform, and pipelines compiled: constant once every step has been seen. */
  readonly allocations: number;
  readonly pipelines: number;
}

/** What a device is, beside its name. */
export interface DeviceDetails {
  /** The hardware or thread that does the work; devices with equal `adapter` share it. */
  readonly adapter: string;
  /** Whether a graphics API is emulated on the CPU. */
  readonly isSoftware: boolean;
  /** `null` where nothing travels. */
  readonly traffic: Traffic | null;
  /** `null` where there is no GPU. */
  readonly work: GpuWork | null;
}

/** What a field of each kind holds. */
interface Values {
  readonly input: DeviceBuffer;
  readonly output: DeviceBuffer;
  readonly inputRows: Rows;
  readonly outputRows: Rows;
  readonly number: number;
  readonly count: number;
  readonly flag: boolean;
  readonly numerics: Numerics;
  readonly epsMode: EpsMode;
  readonly batch: BatchLayout;
  readonly channels: ChannelRange;
  readonly bytes: Uint8Array;
  readonly values: Float32Array<ArrayBuffer>;
  readonly sharedBytes: Uint8Array<SharedArrayBuffer>;
}

/** The fields of a row, with what they hold. */
export type Fields<R extends Row> = {
  readonly [F in keyof R as R[F] extends PresentKind ? F : never]: R[F] extends PresentKind ? Values[R[F]] : never;
} & {
  readonly [F in keyof R as R[F] extends OptionalKind ? F : never]?: R[F] extends `${infer K extends PresentKind}?`
    ? Values[K] | null | undefined
    : never;
};

/** A command of a table: the name of its row, and its fields. */
export type CommandOf<Table extends Readonly<Record<string, Row>>, Name extends keyof Table = keyof Table> = {
  [N in Name]: { readonly operation: N } & Fields<Table[N]>;
}[Name];

/** What {@link Device.run} takes. */
export type Command = CommandOf<typeof commands>;
/** What {@link Device.reduce} takes. */
export type Reduction = CommandOf<typeof reductions>;

/** One device's share of a batch that a {@link DeviceGroup} normalizes. `nextMean` and `nextVariance` are of all devices alike. */
export type GroupForwardArguments = Fields<(typeof groupCommands)['jointBatchNorm']>;

/** One device's share of a backward pass; `dweight` and `dbias` are of one device at most. */
export type GroupBackwardArguments = Fields<(typeof groupCommands)['jointBatchNormBackward']>;

/**
 * Devices that exchange partials among themselves. A command is given to all of them at once, with a share of the batch for
 * each, in order of samples and of devices; the bits are those of the steps.
 */
export interface DeviceGroup {
  /** `stable` numerics. @throws the error of a device that is lost; nothing has been written then. */
  batchNorm(shares: readonly GroupForwardArguments[]): void;
  /** The gradients of {@link DeviceGroup.batchNorm}. @throws as there. */
  batchNormBackward(shares: readonly GroupBackwardArguments[]): void;
  /**
   * Resolves when all devices have done what they were given so far. Nobody awaits the commands one by one, so that the calling
   * thread runs ahead; before this nothing must be kept of what comes of them.
   * @throws the error of the device that has failed
   */
  confirm(): Promise<void>;
}

/**
 * One place that computes.
 *
 * Partial results of several devices travel as bytes (see `crates/core/src/partial/monoid.rs`): a *partial* covers the global
 * samples [first, end) of a batch, and partials of adjacent ranges merge to the partial of their union.
 */
export interface Device {
  /** For example `cpu:1`. */
  readonly name: string;
  readonly kind: DeviceKind;
  /** Whether commands can be given; before, only {@link Device.ready} may be called. */
  readonly isReady: boolean;
  /** Resolves when commands can be given; idempotent. */
  ready(): Promise<void>;
  /** Why nothing more can be asked of the device, as {@link DeviceLostError}; `null` while it lives. */
  readonly lost: Error | null;

  /** Largest sum of bytes in use that the device grants; set it lower to fail earlier. */
  memoryLimit: number;
  /** What the device holds now. */
  memoryUsage(): MemoryUsage;
  /** What the device runs on, and what its work has cost. */
  details(): DeviceDetails;

  /**
   * Memory for `length` f32 values, contents undefined.
   * @throws OutOfMemoryError with the bytes wanted and in use; nothing is lost.
   * @internal
   */
  allocate(length: number): DeviceBuffer;
  /** Gives the memory back. The buffer must not be used afterwards. @internal */
  release(buffer: DeviceBuffer): void;
  /** @internal */
  write(buffer: DeviceBuffer, data: Float32Array): void;
  /** A copy of the contents. @internal */
  read(buffer: DeviceBuffer): Promise<Float32Array>;
  /** Rows of a buffer, end to end, in an array that belongs to the caller. @internal */
  readRows(source: Rows, rowLength: number, rows: number): Promise<Float32Array<ArrayBuffer>>;
  /** The same put into `target` at once; absent where the device is not in the calling thread. @internal */
  readInto?(source: Rows, rowLength: number, rows: number, target: Float32Array): void;
  /** Rows given end to end, put into a buffer. The device may take the array over: nobody else must use it afterwards. @internal */
  writeRows(values: Float32Array<ArrayBuffer>, target: Rows, rowLength: number, rows: number): void;
  /** Copies rows into `target`, which is on this device; `source` may be on any device. @internal */
  copyRows(source: Rows, target: Rows, rowLength: number, rows: number): void | Promise<void>;
  /** The same to a CPU device of the calling thread, where this device has a better way than `readRows`; else `null`. @internal */
  copyOut?(source: Rows, target: Rows, rowLength: number, rows: number): Promise<void> | null;
  /**
   * Resolves once it is sure that what wrote a buffer has not failed; before this nothing must be kept of what comes of it.
   * `null`, or absent: it is sure already, as it always is where no memory of others takes part.
   * @internal
   */
  confirm?(buffer: DeviceBuffer): Promise<void> | null;

  /** @internal */
  run(command: Command): void;
  /** The bytes of a partial. @internal */
  reduce(reduction: Reduction): Promise<Uint8Array>;
  /** Merges partials of one kind that cover adjacent ranges, given in order of samples. @internal */
  merge(partials: readonly Uint8Array[]): Promise<Uint8Array>;

  /** The group of these devices, this one the first, all of them ready; `null`, or absent: they must meet elsewhere. @internal */
  group?(devices: readonly Device[]): DeviceGroup | null;
}

/**
 * A device of WebGPU, and what other engines on the page share with it.
 *
 * Commands are submitted at the end of the tick in which they are given at the latest, and before: when they are the first of it or
 * there are many, when `gpuDevice` is asked for, while a buffer is shared, and always on an adopted device. So the platform's queue
 * holds them in order with whatever others submit, if these ask for `gpuDevice` each time.
 */
export interface WebGpuDevice extends Device {
  readonly kind: 'webgpu';
  /** The platform's device. @throws NotInitializedError before `ready()` */
  readonly gpuDevice: GPUDevice;
  /** The platform's buffer behind a buffer; it may be longer. @internal */
  gpuBuffer(buffer: DeviceBuffer): GPUBuffer;
  /**
   * A buffer that exists, which stays its owner's: `release` forgets it.
   * @param onRelease - called once, when the buffer is no longer needed: all commands that use it have been submitted, or the device is lost.
   * It must not throw.
   * @throws RangeError unless its size and usages suit the kernels; DeviceMismatchError for a buffer of another device.
   * @internal
   */
  adoptBuffer(buffer: GPUBuffer, length: number, onRelease?: () => void): Promise<DeviceBuffer>;
  /** The same at once. Whose the buffer is turns out later: until then it is in doubt, as {@link Device.confirm} tells. @internal */
  adoptBufferNow(buffer: GPUBuffer, length: number, onRelease?: () => void): DeviceBuffer;
  /**
   * Compiles what the steps of such batches run, of any number of samples; else the first step does. Either way the event loop has a
   * turn after each pipeline. Resolves when all are compiled.
   */
  warmUp(layout: Omit<BatchLayout, 'samples'>): Promise<void>;
}
