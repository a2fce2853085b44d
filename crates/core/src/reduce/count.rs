//! Numbers of values, and how exact sums over so many are.

use crate::simd::{Arithmetic, Lanes};

/// How many values there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Count<T> {
    pub(crate) values: T,
    pub(crate) inverse: T,
    /// The square of what the mean may be beside the deviation, times `values`.
    limit: T,
    /// The M2 below which squares have lost digits as f32, unless all are 0. (So are those of values that lie nearer than 2^-75
    /// to their centre, whose sum then tells them from equal ones. Should they cancel to nothing, no eps of f32's normal range
    /// sees the difference.)
    pub(crate) least: T,
}

impl<T: Arithmetic> Count<T> {
    pub(crate) fn map<U>(self, convert: impl Fn(T) -> U) -> Count<U> {
        Count {
            values: convert(self.values),
            inverse: convert(self.inverse),
            limit: convert(self.limit),
            least: convert(self.least),
        }
    }

    /// Mean and M2 from Σx and Σx².
    #[inline(always)]
    pub(crate) fn moments(self, [sum, sum_of_squares]: [T; 2]) -> [T; 2] {
        let mean = sum * self.inverse;
        [mean, sum_of_squares - sum * mean]
    }
}

/// What the f32 sums Σ(x − k) and Σ(x − k)² of a leaf are compared with. It is a quick look at many leaves: sums that pass are
/// exact by [`Count::is_exact`] too, if M2 is finite. Few that are exact do not pass, and are looked at again by that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits<V> {
    /// Times the square of the first sum it is at most the second, where k is near the mean.
    square: V,
    /// What the second sum is at least, unless both are 0.
    least: V,
    /// Of a bound that is as large.
    inverse_of_least: V,
}

impl<V: Lanes> Limits<V> {
    #[allow(clippy::cast_possible_truncation, reason = "both numbers are larger than they need to be")]
    pub(crate) fn of(count: Count<f64>) -> Self {
        /// More than the roundings of the comparison.
        const SLACK: f64 = 1.0 + 1.0 / 65536.0;
        // mean²·limit ≤ M2, where mean = sum/values and M2 = sum of squares − sum²/values.
        let square = (count.limit * count.inverse + 1.0) * count.inverse * SLACK;
        let least = (16.0 * count.least) as f32;
        Self { square: V::splat(square as f32), least: V::splat(least), inverse_of_least: V::splat(1.0 / least) }
    }

    #[inline(always)]
    pub(crate) fn are_exact(self, [sum, sum_of_squares]: [V; 2]) -> V::Mask {
        let least = self.least.larger(sum * sum * self.square);
        least.at_most(sum_of_squares) | sum.both_zero(sum_of_squares)
    }

    /// Where a sum of products is not so small that the products may have left the range of f32, or is 0.
    #[inline(always)]
    pub(crate) fn are_not_small(self, sum: V) -> V::Mask {
        let over_least = sum * self.inverse_of_least;
        V::splat(1.0).at_most(over_least * over_least) | sum.both_zero(sum)
    }
}

impl Count<f64> {
    #[allow(clippy::cast_precision_loss, reason = "a leaf has fewer than 2^53 values")]
    pub(crate) fn of(values: usize) -> Self {
        /// A square of this size has lost none of its 24 digits, and one that has is too small to matter beside it.
        const LEAST_SQUARE: f64 = 1.0 / (1_u128 << 100) as f64;
        let values = values as f64;
        Self { values, inverse: 1.0 / values, limit: values, least: LEAST_SQUARE * values }
    }

    /// The same where the centre has been chosen near the mean: among few values it may by chance be as far as two deviations
    /// away, at the price of two bits.
    pub(crate) fn near(self) -> Self {
        Self { limit: 0.25 * self.values, ..self }
    }

    /// Whether M2 is exact enough: not where the mean is too large beside the deviation, or squares have left the range of f32.
    pub(crate) fn is_exact(self, [mean, m2]: [f64; 2]) -> bool {
        mean * mean * self.limit <= m2 && m2 <= f64::MAX && (self.least <= m2 || m2 <= 0.0)
    }

    /// The same of sums whose centre is the rounded mean. Where they find no deviation there may be one that they cannot see.
    pub(crate) fn is_exact_at_mean(self, m2: f64) -> bool {
        self.least <= m2 && m2 <= f64::MAX
    }
}
