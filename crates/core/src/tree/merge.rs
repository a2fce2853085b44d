//! How two neighbours become one.

use crate::kind::Kind;
use crate::simd::{Arithmetic, Doubles, Lanes, Mask, Native};

impl Kind {
    /// `left = merge(left, right)` for nodes that hold `left_count` and `right_count` values per channel.
    pub(crate) fn merge_nodes(self, left: &mut [f64], right: &[f64], left_count: f64, right_count: f64) {
        match self {
            Self::Moments => merge_moments(left, right, left_count, right_count),
            Self::Total | Self::Deviations | Self::Sums => add_to(left, right),
        }
    }
}

type Pair = <Native as Lanes>::Doubles;

/// `left += right`.
pub(crate) fn add_to(left: &mut [f64], right: &[f64]) {
    let ((left, left_rest), (right, right_rest)) = (left.as_chunks_mut(), right.as_chunks());
    for (left, right) in left.iter_mut().zip(right) {
        (Pair::load(left) + Pair::load(right)).store(left);
    }
    for (left, right) in left_rest.iter_mut().zip(right_rest) {
        *left += right;
    }
}

/// Chan, Golub, LeVeque: *Updating formulae and a pairwise algorithm for computing sample variances* (1979). The factors
/// depend on the counts alone and are shared by all channels.
pub(crate) fn merge_moments(left: &mut [f64], right: &[f64], left_count: f64, right_count: f64) {
    let width = left.len() / 2;
    let (left_mean, left_m2) = left.split_at_mut(width);
    let (right_mean, right_m2) = right.split_at(width);
    let chan = Chan::of(left_count, right_count);
    let ((left_means, left_mean), (left_m2s, left_m2)) = (left_mean.as_chunks_mut(), left_m2.as_chunks_mut());
    let ((right_means, right_mean), (right_m2s, right_m2)) = (right_mean.as_chunks(), right_m2.as_chunks());
    let pairs = chan.map(Pair::splat);
    let right = right_means.iter().zip(right_m2s);
    for ((mean, m2), (right_mean, right_m2)) in left_means.iter_mut().zip(left_m2s).zip(right) {
        let left = [Pair::load(mean), Pair::load(m2)];
        let merged = pairs.merge(left, [Pair::load(right_mean), Pair::load(right_m2)]);
        let are_finite = merged[0].at_most(Pair::splat(f64::MAX)).all();
        let before = *mean;
        merged[0].store(mean);
        merged[1].store(m2);
        if !are_finite {
            *mean = [0, 1].map(|i| infinite_or(before[i] + right_mean[i], mean[i]));
        }
    }
    let right = right_mean.iter().zip(right_m2);
    for ((mean, m2), (right_mean, right_m2)) in left_mean.iter_mut().zip(left_m2).zip(right) {
        let sum = *mean + right_mean;
        [*mean, *m2] = chan.merge([*mean, *m2], [*right_mean, *right_m2]);
        *mean = infinite_or(sum, *mean);
    }
}

/// The mean of two nodes, `sum` being the sum of their means. It is what that sum is where one of them is not finite; Chan's
/// formula would subtract an infinity from itself.
fn infinite_or(sum: f64, mean: f64) -> f64 {
    if sum.is_finite() { mean } else { sum }
}

/// The factors of Chan's formula.
#[derive(Clone, Copy)]
pub(crate) struct Chan<T> {
    mean_factor: T,
    m2_factor: T,
}

impl Chan<f64> {
    pub(crate) fn of(left_count: f64, right_count: f64) -> Self {
        let mean_factor = right_count / (left_count + right_count);
        Self { mean_factor, m2_factor: left_count * mean_factor }
    }
}

impl<T: Arithmetic> Chan<T> {
    pub(crate) fn map<U>(self, convert: impl Fn(T) -> U) -> Chan<U> {
        Chan { mean_factor: convert(self.mean_factor), m2_factor: convert(self.m2_factor) }
    }

    #[inline(always)]
    pub(crate) fn merge(self, [mean, m2]: [T; 2], [right_mean, right_m2]: [T; 2]) -> [T; 2] {
        let delta = right_mean - mean;
        [mean + delta * self.mean_factor, m2 + (right_m2 + delta * delta * self.m2_factor)]
    }
}
