/**
 * The table of commands: what a device can be asked to compute, a row for each command.
 *
 * A row says which fields a command has and of which kind each is. From the rows follow the types of commands (`device.ts`), how they
 * cross into WebAssembly and travel to workers (`command_table.ts`), which buffers are checked, and which of them have no contents
 * when a command fails. `crates/commands` has the same table; a test compares the two. To add a command, see "A new kernel" in
 * CONTRIBUTING.md.
 */

/**
 * What a field may be. `input`: a buffer that is read; `output`: one that is written; `count`: a whole number below 2^32; `channels`:
 * which channels a step works on. With a question mark: the field may be absent.
 */
export type Kind = PresentKind | OptionalKind;
export type PresentKind =
  | 'input'
  | 'output'
  | 'inputRows'
  | 'outputRows'
  | 'number'
  | 'count'
  | 'flag'
  | 'numerics'
  | 'epsMode'
  | 'batch'
  | 'channels'
  | 'bytes'
  | 'values'
  | 'sharedBytes';
export type OptionalKind = `${PresentKind}?`;

/** The fields of a command, in the order in which they are encoded. */
export type Row = Readonly<Record<string, Kind>>;

/** Commands whose results stay in buffers. */
export const commands = {
  /** `target[i] = value`. */
  fill: { target: 'output', value: 'number' },
  /** `target[i] = a[i] + b[i]`; `target` may be `a` or `b`. */
  add: { a: 'input', b: 'input', target: 'output' },
  /** Rearranges from `layout.format` to the other format; `target` must not be `source`. */
  permute: { source: 'input', target: 'output', layout: 'batch' },
  /**
   * Training forward of a batch that lies on one device as a whole: moments, finalize, running statistics and normalize in one command.
   * `y` may be `x`: the result is then written over it. Without `nextMean` and `nextVariance` no running statistics are updated.
   */
  batchNorm: {
    x: 'input',
    y: 'output',
    layout: 'batch',
    numerics: 'numerics',
    eps: 'number',
    weight: 'input?',
    bias: 'input?',
    /** STATISTICS_ROWS · C values. */
    statistics: 'output',
    mean: 'input?',
    variance: 'input?',
    nextMean: 'output?',
    nextVariance: 'output?',
    /** Weight of the new value, PyTorch's `momentum`. */
    momentum: 'number?',
    /** What is subtracted from n in the divisor of the batch's variance, as in `torch.var`: 1 (unbiased) or 0 (biased). */
    correction: 'count?',
  },
  /**
   * Backward of a batch that lies on one device as a whole: sums, parameter gradients and input gradient in one command. `dx` may be
   * `dy`: the result is then written over it. A gradient that is absent is not wanted.
   */
  batchNormBackward: {
    x: 'input',
    dy: 'input',
    dx: 'output?',
    layout: 'batch',
    statistics: 'input',
    weight: 'input?',
    dweight: 'output?',
    dbias: 'output?',
    /** Whether `statistics` came from this batch (training) or are constants (evaluation). */
    batchStatistics: 'flag',
  },
  /** Statistics from the merged `moments` (stable) or `deviations` (torch) of a whole batch. */
  finalize: { merged: 'bytes', eps: 'number', epsMode: 'epsMode', statistics: 'output', part: 'channels?' },
  /** The running statistics after a batch with these merged moments or deviations. */
  updateRunning: {
    merged: 'bytes',
    mean: 'input',
    variance: 'input',
    nextMean: 'output',
    nextVariance: 'output',
    momentum: 'number',
    correction: 'count',
    part: 'channels?',
  },
  /** Statistics from the running ones, for evaluation. */
  evaluationStatistics: {
    statistics: 'output',
    mean: 'input',
    variance: 'input',
    numerics: 'numerics',
    eps: 'number',
  },
  /** `y` may be `x`. */
  normalize: {
    x: 'input',
    y: 'output',
    layout: 'batch',
    numerics: 'numerics',
    statistics: 'input',
    weight: 'input?',
    bias: 'input?',
  },
  /** dweight and dbias from merged sums of the whole batch. */
  backwardParameters: {
    sums: 'bytes',
    statistics: 'input',
    dweight: 'output?',
    dbias: 'output?',
    part: 'channels?',
  },
  /** `dx` may be `dy`. */
  backwardInput: {
    x: 'input',
    dy: 'input',
    dx: 'output',
    layout: 'batch',
    statistics: 'input',
    weight: 'input?',
    /** Merged sums of the whole batch; absent in evaluation, where the statistics are constants. */
    sums: 'bytes?',
    /** Eps, where the statistics were finalized with `clamp`: nothing flows back through a variance it replaced. */
    clampEps: 'number?',
  },
} as const satisfies Record<string, Row>;

/** Commands whose result is the bytes of a partial. `firstSample` is the global number of the shard's first sample. */
export const reductions = {
  /** (count, mean, M2) of a shard: `stable` numerics. */
  moments: { x: 'input', layout: 'batch', firstSample: 'number' },
  /** Σx in f64 of a shard: the first of the two rounds of `torch` numerics. */
  total: { x: 'input', layout: 'batch', firstSample: 'number' },
  /** Σ(x − mean)² of a shard, rounded as PyTorch rounds; `total` is the merged one of the whole batch. */
  deviations: { x: 'input', layout: 'batch', firstSample: 'number', total: 'bytes' },
  /** (Σdy, Σdy·(x − mean)) of a shard. */
  backwardReduce: { x: 'input', dy: 'input', layout: 'batch', firstSample: 'number', statistics: 'input' },
} as const satisfies Record<string, Row>;
