/**
 * The seam between the library and the machines that compute.
 *
 * A device owns memory and a queue and offers the kernels of `crates/core` by name. Everything above this file is
 * written once, for any device. Commands return at once and take effect in the order they were given; whatever is
 * read back is a promise. A device validates nothing that its callers have already checked: shapes, dtypes and
 * arguments are the business of the public border.
 */

/** Order of the dimensions in memory: `contiguous` is (N, C, L), `channels_last` is (N, L, C). */
export type MemoryFormat = 'contiguous' | 'channels_last';

/** `stable`: the most accurate single-precision result. `torch`: PyTorch's CPU result, bit for bit. */
export type Numerics = 'stable' | 'torch';

/** How `eps` guards the inverse standard deviation: `1/√(var + eps)` or `1/√(max(var, eps))`. */
export type EpsMode = 'plus' | 'clamp';

/** The kinds of device that exist. */
export type DeviceKind = 'cpu' | 'worker' | 'webgpu';

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

/** Where the running statistics are read and where the updated ones go. All are C values long. */
export interface RunningUpdate {
  readonly mean: DeviceBuffer;
  readonly variance: DeviceBuffer;
  readonly nextMean: DeviceBuffer;
  readonly nextVariance: DeviceBuffer;
  /** Weight of the new value, PyTorch's `momentum`. */
  readonly momentum: number;
  /** What is subtracted from n in the divisor of the batch's variance, as in `torch.var`: 1 (unbiased) or 0 (biased). */
  readonly correction: 0 | 1;
}

/** Training forward of a batch that lies on one device as a whole. */
export interface BatchNormArguments {
  readonly x: DeviceBuffer;
  /** May be `x`: the result is then written over it. */
  readonly y: DeviceBuffer;
  readonly layout: BatchLayout;
  readonly numerics: Numerics;
  readonly eps: number;
  readonly weight: DeviceBuffer | null;
  readonly bias: DeviceBuffer | null;
  /** Output, {@link STATISTICS_ROWS} · C values. */
  readonly statistics: DeviceBuffer;
  readonly running: RunningUpdate | null;
}

/** Backward of a batch that lies on one device as a whole. */
export interface BatchNormBackwardArguments {
  readonly x: DeviceBuffer;
  readonly dy: DeviceBuffer;
  /** May be `dy`: the result is then written over it. `null`: not wanted. */
  readonly dx: DeviceBuffer | null;
  readonly layout: BatchLayout;
  readonly statistics: DeviceBuffer;
  readonly weight: DeviceBuffer | null;
  readonly dweight: DeviceBuffer | null;
  readonly dbias: DeviceBuffer | null;
  /** Whether `statistics` came from this batch (training) or are constants (evaluation). */
  readonly batchStatistics: boolean;
}

/** One device's share of a batch that a {@link DeviceGroup} normalizes. `running` is of one device at most. */
export interface GroupForwardArguments extends BatchNormArguments {
  readonly epsMode: EpsMode;
  /** Global number of its first sample. */
  readonly firstSample: number;
}

/** One device's share of a backward pass; `dweight` and `dbias` are of one device at most. */
export interface GroupBackwardArguments extends Omit<BatchNormBackwardArguments, 'batchStatistics'> {
  readonly firstSample: number;
  /** Eps, where the variance was max(var, eps); `null` where it was var + eps. */
  readonly clampEps: number | null;
}

/**
 * Devices that exchange partials among themselves. A command is given to all of them at once, with a share of the batch for
 * each, in order of samples and of devices; the bits are those of the steps.
 */
export interface DeviceGroup {
  /** `stable` numerics. @throws the error of a device that is lost; nothing has been written then. */
  batchNorm(shares: readonly GroupForwardArguments[]): void;
  batchNormBackward(shares: readonly GroupBackwardArguments[]): void;
  /**
   * Resolves when all devices have done what they were given so far. Nobody awaits the commands one by one, so that the calling
   * thread runs ahead; before this nothing must be kept of what comes of them.
   * @throws the error of the device that has failed
   */
  confirm(): Promise<void>;
}

/** A replica's part of a batch: `firstSample` is the global number of its first sample. */
export interface ShardArguments {
  readonly x: DeviceBuffer;
  readonly layout: BatchLayout;
  readonly firstSample: number;
}

export interface NormalizeArguments {
  readonly x: DeviceBuffer;
  /** May be `x`. */
  readonly y: DeviceBuffer;
  readonly layout: BatchLayout;
  readonly numerics: Numerics;
  readonly statistics: DeviceBuffer;
  readonly weight: DeviceBuffer | null;
  readonly bias: DeviceBuffer | null;
}

export interface BackwardInputArguments {
  readonly x: DeviceBuffer;
  readonly dy: DeviceBuffer;
  /** May be `dy`. */
  readonly dx: DeviceBuffer;
  readonly layout: BatchLayout;
  readonly statistics: DeviceBuffer;
  readonly weight: DeviceBuffer | null;
  /** Merged sums of the whole batch; `null` in evaluation, where the statistics are constants. */
  readonly sums: Uint8Array | null;
  /** Eps, where the statistics were finalized with {@link EpsMode} `clamp`: nothing flows back through a variance it replaced. */
  readonly clampEps?: number | null;
}

/**
 * One place that computes.
 *
 * Partial results of several devices travel as bytes (see `crates/core/src/partial.rs`): a *partial* covers the global
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
  memoryUsage(): MemoryUsage;
  details(): DeviceDetails;

  /**
   * Memory for `length` f32 values, contents undefined.
   * @throws OutOfMemoryError with the bytes wanted and in use; nothing is lost.
   */
  allocate(length: number): DeviceBuffer;
  /** Gives the memory back. The buffer must not be used afterwards. */
  release(buffer: DeviceBuffer): void;
  write(buffer: DeviceBuffer, data: Float32Array): void;
  /** A copy of the contents. */
  read(buffer: DeviceBuffer): Promise<Float32Array>;
  /** Rows of a buffer, end to end, in an array that belongs to the caller. */
  readRows(source: Rows, rowLength: number, rows: number): Promise<Float32Array<ArrayBuffer>>;
  /** Rows given end to end, put into a buffer. The device may take the array over: nobody else must use it afterwards. */
  writeRows(values: Float32Array<ArrayBuffer>, target: Rows, rowLength: number, rows: number): void;
  /** Copies rows into `target`, which is on this device; `source` may be on any device. */
  copyRows(source: Rows, target: Rows, rowLength: number, rows: number): void | Promise<void>;
  /** The same to a CPU device of the calling thread, where this device has a better way than `readRows`; else `null`. */
  copyOut?(source: Rows, target: Rows, rowLength: number, rows: number): Promise<void> | null;
  /**
   * Resolves once it is sure that what wrote a buffer has not failed; before this nothing must be kept of what comes of it.
   * `null`, or absent: it is sure already, as it always is where no memory of others takes part.
   */
  confirm?(buffer: DeviceBuffer): Promise<void> | null;
  /** `target[i] = value`. */
  fill(target: DeviceBuffer, value: number): void;
  /** `target[i] = a[i] + b[i]`; `target` may be `a` or `b`. */
  add(a: DeviceBuffer, b: DeviceBuffer, target: DeviceBuffer): void;
  /** Rearranges from `layout.format` to the other format; `target` must not be `source`. */
  permute(source: DeviceBuffer, target: DeviceBuffer, layout: BatchLayout): void;

  /** Moments, finalize, running statistics and normalize in one command: `y`, `statistics` and the next running ones. */
  batchNorm(args: BatchNormArguments): void;
  /** Sums, parameter gradients and input gradient in one command. */
  batchNormBackward(args: BatchNormBackwardArguments): void;

  /** Partial (count, mean, M2) of a shard: `stable` numerics. */
  moments(args: ShardArguments): Promise<Uint8Array>;
  /** Partial Σx in f64 of a shard: the first of the two rounds of `torch` numerics. */
  total(args: ShardArguments): Promise<Uint8Array>;
  /** Partial Σ(x − mean)² of a shard, rounded as PyTorch rounds; `total` is the merged one of the whole batch. */
  deviations(args: ShardArguments & { readonly total: Uint8Array }): Promise<Uint8Array>;
  /** Partial (Σdy, Σdy·(x − mean)) of a shard. */
  backwardReduce(
    args: ShardArguments & { readonly dy: DeviceBuffer; readonly statistics: DeviceBuffer },
  ): Promise<Uint8Array>;
  /** Merges partials of one kind that cover adjacent ranges, given in order of samples. */
  merge(partials: readonly Uint8Array[]): Promise<Uint8Array>;

  /** Statistics from the merged `moments` (stable) or `deviations` (torch) of a whole batch. */
  finalize(args: {
    readonly merged: Uint8Array;
    readonly eps: number;
    readonly epsMode: EpsMode;
    readonly statistics: DeviceBuffer;
  }): void;
  /** The running statistics after a batch with these merged moments or deviations. */
  updateRunning(args: { readonly merged: Uint8Array; readonly running: RunningUpdate }): void;
  /** Statistics from the running ones, for evaluation. */
  evaluationStatistics(args: {
    readonly runningMean: DeviceBuffer;
    readonly runningVar: DeviceBuffer;
    readonly numerics: Numerics;
    readonly eps: number;
    readonly statistics: DeviceBuffer;
  }): void;
  normalize(args: NormalizeArguments): void;
  /** dweight and dbias from merged sums of the whole batch. */
  backwardParameters(args: {
    readonly sums: Uint8Array;
    readonly statistics: DeviceBuffer;
    readonly dweight: DeviceBuffer | null;
    readonly dbias: DeviceBuffer | null;
  }): void;
  backwardInput(args: BackwardInputArguments): void;

  /** The group of these devices, this one the first, all of them ready; `null`, or absent: they must meet elsewhere. */
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
  /** The platform's buffer behind a buffer; it may be longer. */
  gpuBuffer(buffer: DeviceBuffer): GPUBuffer;
  /**
   * A buffer that exists, which stays its owner's: `release` forgets it.
   * @param onRelease - called once, when the buffer is no longer needed: all commands that use it have been submitted, or the device is lost.
   * It must not throw.
   * @throws RangeError unless its size and usages suit the kernels; DeviceMismatchError for a buffer of another device.
   */
  adoptBuffer(buffer: GPUBuffer, length: number, onRelease?: () => void): Promise<DeviceBuffer>;
  /** The same at once. Whose the buffer is turns out later: until then it is in doubt, as {@link Device.confirm} tells. */
  adoptBufferNow(buffer: GPUBuffer, length: number, onRelease?: () => void): DeviceBuffer;
  /**
   * Compiles what the steps of such batches run, of any number of samples; else the first step does. Either way the event loop has a
   * turn after each pipeline. Resolves when all are compiled.
   */
  warmUp(layout: Omit<BatchLayout, 'samples'>): Promise<void>;
}
