/**
 * Sums over samples that do not depend on their order or grouping.
 *
 * The gradient of a weight is a sum over the samples of the batch. When the batch is split over devices, f32 rounds that sum
 * at other places, so the weights would differ in their last bits from one-device training, and before long a max pooling or
 * a ReLU would decide otherwise. So each sample's part is first rounded to a multiple of 2⁻²²: f32 then adds such numbers
 * without rounding as long as the sum stays below 4, which gradients of a mean over the batch do. (Beyond, nothing breaks but
 * the equality.) Demmel and Nguyen, "Fast Reproducible Floating-Point Summation", 2013, round beforehand in the same way.
 *
 * The library's own layers need no such help: their sums are taken in one order, wherever the samples are.
 */

const STEPS_PER_UNIT = 2 ** 22;

/** Adds one sample's part of a gradient to the sum over samples. */
export function addSample(sum: Float32Array, part: Float32Array): void {
  for (let i = 0; i < sum.length; i++) {
    sum[i] = (sum[i] ?? 0) + Math.round((part[i] ?? 0) * STEPS_PER_UNIT) / STEPS_PER_UNIT;
  }
}
