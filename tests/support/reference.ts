/**
 * Batch normalization in f64, as plain as it can be written: the oracle that results in f32 are measured against.
 *
 * It shares no code with the library. Data is in logical order (N, C, …); sums are of deviations from the mean, so that
 * nothing cancels.
 */

/** What a layer holds and is told; arrays are C values long, `null` where the layer has none. */
export interface ReferenceLayer {
  readonly weight: ArrayLike<number> | null;
  readonly bias: ArrayLike<number> | null;
  readonly runningMean: ArrayLike<number> | null;
  readonly runningVar: ArrayLike<number> | null;
  readonly eps: number;
  /** Weight of the new value in the running statistics: for a cumulative average, 1 / (batches so far, this one included). */
  readonly momentum: number;
  /** Whether the statistics are those of the batch. False: `runningMean` and `runningVar` are used. */
  readonly batchStatistics: boolean;
  readonly epsMode?: 'plus' | 'clamp';
}

export interface ReferenceForward {
  readonly y: Float64Array;
  readonly mean: Float64Array;
  /** Divided by n. */
  readonly varBiased: Float64Array;
  readonly invstd: Float64Array;
  /** After the step; `null` where the layer has none. In evaluation, and after an empty batch, as before. */
  readonly runningMean: Float64Array | null;
  readonly runningVar: Float64Array | null;
  /**
   * Per channel the largest term of the sums that the running statistics are, the scale of their rounding errors. What a
   * mean sums up is the values, so its term is their root mean square: a mean of 0 is not exact when its values are not 0.
   */
  readonly runningMeanTerm: Float64Array;
  readonly runningVarTerm: Float64Array;
}

export interface ReferenceBackward {
  readonly dx: Float64Array;
  readonly dweight: Float64Array;
  readonly dbias: Float64Array;
}

/** Forward of a batch of the given shape (N, C, …). */
export function referenceForward(
  x: ArrayLike<number>,
  shape: readonly number[],
  layer: ReferenceLayer,
): ReferenceForward {
  const layout = layoutOf(shape);
  const perChannel = layout.samples * layout.length;
  const usesBatch = layer.batchStatistics && perChannel > 0;
  const mean = usesBatch ? batchMean(x, layout) : Float64Array.from(layer.runningMean ?? zeros(layout));
  const varBiased = usesBatch ? batchVariance(x, layout, mean) : Float64Array.from(layer.runningVar ?? zeros(layout));
  const invstd = varBiased.map((variance) => 1 / Math.sqrt(guarded(variance, layer)));
  const y = mapElements(layout, (i, c) => {
    return (at(x, i) - at(mean, c)) * at(invstd, c) * at(layer.weight, c, 1) + at(layer.bias, c, 0);
  });
  const rootMeanSquare = mean.map((value, c) => Math.hypot(value, Math.sqrt(at(varBiased, c))));
  const varUnbiased = varBiased.map((variance) => (variance * perChannel) / (perChannel - 1));
  return {
    y,
    mean,
    varBiased,
    invstd,
    runningMean: usesBatch ? updated(layer.runningMean, mean, layer.momentum) : copied(layer.runningMean),
    runningVar: usesBatch ? updated(layer.runningVar, varUnbiased, layer.momentum) : copied(layer.runningVar),
    runningMeanTerm: largestTerm(layer.runningMean, rootMeanSquare, layer.momentum),
    runningVarTerm: largestTerm(layer.runningVar, varUnbiased, layer.momentum),
  };
}

/** Backward of {@link referenceForward}, from the mean and invstd it gave. */
export function referenceBackward(
  x: ArrayLike<number>,
  dy: ArrayLike<number>,
  shape: readonly number[],
  layer: ReferenceLayer,
  forward: Pick<ReferenceForward, 'mean' | 'invstd'>,
): ReferenceBackward {
  const layout = layoutOf(shape);
  const perChannel = layout.samples * layout.length;
  const { mean, invstd } = forward;
  const sumDy = channelSums(layout, (i) => at(dy, i));
  const sumDyXmu = channelSums(layout, (i, c) => at(dy, i) * (at(x, i) - at(mean, c)));
  const dx = mapElements(layout, (i, c) => {
    const scale = at(invstd, c) * at(layer.weight, c, 1);
    if (!layer.batchStatistics) return at(dy, i) * scale;
    // A variance below eps has no part in what max(variance, eps) gives.
    const isClamped = layer.epsMode === 'clamp' && at(invstd, c) === 1 / Math.sqrt(layer.eps);
    const slope = isClamped ? 0 : (at(invstd, c) ** 2 * at(sumDyXmu, c)) / perChannel;
    return (at(dy, i) - at(sumDy, c) / perChannel - (at(x, i) - at(mean, c)) * slope) * scale;
  });
  return { dx, dweight: sumDyXmu.map((sum, c) => sum * at(invstd, c)), dbias: sumDy };
}

interface Layout {
  readonly samples: number;
  readonly channels: number;
  readonly length: number;
}

function layoutOf(shape: readonly number[]): Layout {
  const [samples, channels, ...rest] = shape;
  if (samples === undefined || channels === undefined) {
    throw new RangeError(`expected a shape (N, C, …), got [${shape.join(', ')}]`);
  }
  return { samples, channels, length: rest.reduce((product, size) => product * size, 1) };
}

function batchMean(x: ArrayLike<number>, layout: Layout): Float64Array {
  const perChannel = layout.samples * layout.length;
  const rough = channelSums(layout, (i) => at(x, i)).map((sum) => sum / perChannel);
  const residual = channelSums(layout, (i, c) => at(x, i) - at(rough, c));
  return rough.map((mean, c) => (Number.isFinite(mean) ? mean + at(residual, c) / perChannel : mean));
}

function batchVariance(x: ArrayLike<number>, layout: Layout, mean: Float64Array): Float64Array {
  const squares = channelSums(layout, (i, c) => (at(x, i) - at(mean, c)) ** 2);
  return squares.map((sum) => sum / (layout.samples * layout.length));
}

function guarded(variance: number, layer: ReferenceLayer): number {
  return layer.epsMode === 'clamp' ? Math.max(variance, layer.eps) : variance + layer.eps;
}

function updated(running: ArrayLike<number> | null, batch: Float64Array, momentum: number): Float64Array | null {
  return running && batch.map((value, c) => momentum * value + (1 - momentum) * at(running, c));
}

function largestTerm(running: ArrayLike<number> | null, batch: Float64Array, momentum: number): Float64Array {
  return batch.map((value, c) => Math.max(Math.abs(momentum * value), Math.abs((1 - momentum) * at(running, c, 0))));
}

/** Applies `compute` to every element (its number, its channel). */
function mapElements(layout: Layout, compute: (element: number, channel: number) => number): Float64Array {
  const { samples, channels, length } = layout;
  return new Float64Array(samples * channels * length).map((_, i) => compute(i, channelOf(i, layout)));
}

function channelSums(layout: Layout, term: (element: number, channel: number) => number): Float64Array {
  const { samples, channels, length } = layout;
  const sums = zeros(layout);
  for (let i = 0; i < samples * channels * length; i++) {
    const c = channelOf(i, layout);
    sums[c] = at(sums, c) + term(i, c);
  }
  return sums;
}

function channelOf(element: number, layout: Layout): number {
  return Math.floor(element / layout.length) % layout.channels;
}

function zeros(layout: Layout): Float64Array {
  return new Float64Array(layout.channels);
}

function copied(values: ArrayLike<number> | null): Float64Array | null {
  return values && Float64Array.from(values);
}

/** Element i; `absent` where the layer has no such array. An element outside the array is NaN, which no test accepts. */
function at(values: ArrayLike<number> | null, i: number, absent = Number.NaN): number {
  return values === null ? absent : (values[i] ?? Number.NaN);
}
