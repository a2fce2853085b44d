//! The statistics that normalize: four rows of C values, `mean_hi`, `mean_lo`, `invstd_hi` and `invstd_lo`.
//!
//! The mean is carried as two f32, hi + lo, because x − mean is what accuracy hangs on when the mean is much larger than
//! the deviation; the inverse deviation likewise, so that invstd·w is rounded once. In `torch` numerics both are one f32,
//! as in PyTorch, and lo = 0.

use alloc::vec::Vec;
use core::ops::Range;

use crate::error::{KernelError, expect_channels, expect_length};
use crate::kind::Kind;
use crate::simd::sqrt;
use crate::tree::Merged;

/// Which arithmetic: the most accurate, or PyTorch's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numerics {
    /// The most accurate result in single precision.
    Stable,
    /// PyTorch's CPU result, bit for bit.
    Torch,
}

/// How `eps` guards the inverse standard deviation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpsMode {
    /// 1 / √(var + eps).
    Plus,
    /// 1 / √(max(var, eps)).
    Clamp,
}

/// `eps` and how it is used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Eps {
    /// The number.
    pub value: f64,
    /// Its use.
    pub mode: EpsMode,
}

impl Eps {
    /// 1 / √ of the variance, guarded.
    pub(crate) fn invstd(self, var_biased: f64) -> f64 {
        let guarded = match self.mode {
            EpsMode::Plus => var_biased + self.value,
            // Not f64::max, which would hide a variance that is not a number.
            EpsMode::Clamp if var_biased < self.value => self.value,
            EpsMode::Clamp => var_biased,
        };
        1.0 / sqrt(guarded)
    }
}

/// Rows of the statistics.
pub const STATISTICS_ROWS: usize = 4;

/// The rows, for reading.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Statistics<'a> {
    pub(crate) mean_hi: &'a [f32],
    pub(crate) mean_lo: &'a [f32],
    invstd_hi: &'a [f32],
    invstd_lo: &'a [f32],
}

impl<'a> Statistics<'a> {
    pub(crate) fn of(rows: &'a [f32]) -> Self {
        let channels = rows.len() / STATISTICS_ROWS;
        let (mean, invstd) = rows.split_at(2 * channels);
        let (mean_hi, mean_lo) = mean.split_at(channels);
        let (invstd_hi, invstd_lo) = invstd.split_at(channels);
        Self { mean_hi, mean_lo, invstd_hi, invstd_lo: &invstd_lo[..channels] }
    }

    pub(crate) fn mean(&self, channel: usize) -> f64 {
        f64::from(self.mean_hi[channel]) + f64::from(self.mean_lo[channel])
    }

    pub(crate) fn invstd(&self, channel: usize) -> f64 {
        f64::from(self.invstd_hi[channel]) + f64::from(self.invstd_lo[channel])
    }

    /// Beyond this mean x − hi can leave the range of f32. It is then at most twice the largest f32, and, where it is not 0, far
    /// above the smallest.
    const LARGE: f32 = (1_u128 << 100) as f32;

    /// Whether the mean of one of some channels is large.
    fn is_any_large(&self, channels: Range<usize>) -> bool {
        // Numbers without sign have the order of their bits: so a glance at vectors of integers tells that nearly always none is.
        const MAGNITUDE: u32 = u32::MAX >> 1;
        let largest = self.mean_hi[channels].iter().fold(0, |most: u32, mean| most.max(mean.to_bits() & MAGNITUDE));
        largest > Self::LARGE.to_bits()
    }

    /// What x − hi is multiplied with before backward sums are formed, so that it stays in the range of f32: a power of two.
    /// Nothing where it is 1 for all channels. It follows from the statistics, which all devices have alike.
    pub(crate) fn scales_of_sums(&self) -> Vec<f64> {
        let all = 0..self.mean_hi.len();
        if self.is_any_large(all.clone()) {
            all.map(|channel| self.scale_of_sums(channel)).collect()
        } else {
            Vec::new()
        }
    }

    fn scale_of_sums(&self, channel: usize) -> f64 {
        if self.mean_hi[channel].abs() > Self::LARGE { 0.25 } else { 1.0 }
    }

    /// Backward sums of some channels without their scales; nothing where they have none.
    pub(crate) fn unscaled(&self, channels: Range<usize>, sums: &[f64]) -> Option<Vec<f64>> {
        self.is_any_large(channels.clone()).then(|| {
            let numbered = channels.zip(sums);
            numbered.map(|(channel, sum)| sum / self.scale_of_sums(channel)).collect()
        })
    }
}

/// Statistics of one channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ChannelStatistics {
    mean: [f32; 2],
    invstd: [f32; 2],
}

impl ChannelStatistics {
    /// Of a batch without values: nothing will be normalized with it, but it must be finite.
    const EMPTY: Self = Self { mean: [0.0; 2], invstd: [0.0; 2] };

    pub(crate) fn store(self, rows: &mut [f32], channel: usize) {
        let channels = rows.len() / STATISTICS_ROWS;
        for (row, value) in self.mean.into_iter().chain(self.invstd).enumerate() {
            rows[row * channels + channel] = value;
        }
    }
}

/// hi + lo, as near to the value as two f32 are; lo is 0 where hi is not finite.
#[allow(clippy::cast_possible_truncation, reason = "both parts are rounded")]
fn split(value: f64) -> [f32; 2] {
    let hi = value as f32;
    let lo = (value - f64::from(hi)) as f32;
    [hi, if hi.is_finite() { lo } else { 0.0 }]
}

/// From mean and M2 of n values, `stable` numerics.
#[allow(clippy::cast_precision_loss, reason = "counts of values in memory are below 2^53")]
pub(crate) fn from_moments(mean: f64, m2: f64, count: u64, eps: Eps) -> ChannelStatistics {
    if count == 0 {
        return ChannelStatistics::EMPTY;
    }
    ChannelStatistics { mean: split(mean), invstd: split(eps.invstd(m2 * (1.0 / count as f64))) }
}

/// From PyTorch's m and Σ(x − m)², `torch` numerics.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "PyTorch rounds at these places")]
pub(crate) fn from_deviations(centre: f32, deviations: f64, count: u64, eps: Eps) -> ChannelStatistics {
    if count == 0 {
        return ChannelStatistics::EMPTY;
    }
    let var_biased = deviations as f32 / count as f32;
    ChannelStatistics { mean: [centre, 0.0], invstd: [eps.invstd(f64::from(var_biased)) as f32, 0.0] }
}

/// Statistics from the merged moments (`stable`) or deviations (`torch`) of a whole batch into four rows of C values.
///
/// # Errors
/// If `merged` is of another kind or `statistics` of another length.
pub fn finalize(merged: &Merged, eps: Eps, statistics: &mut [f32]) -> Result<(), KernelError> {
    finalize_of(0..statistics.len() / STATISTICS_ROWS, merged, eps, statistics)
}

/// [`finalize`] of some channels, which are all that `merged` holds.
///
/// # Errors
/// If `merged` is of another kind or does not hold these channels, or `statistics` is no four rows.
pub fn finalize_of(
    channels: Range<usize>,
    merged: &Merged,
    eps: Eps,
    statistics: &mut [f32],
) -> Result<(), KernelError> {
    let all = statistics.len() / STATISTICS_ROWS;
    let width = merged.values.len() / merged.kind.values();
    expect_length("statistics", statistics.len(), STATISTICS_ROWS * all)?;
    expect_channels(&channels, all)?;
    expect_length("merged", width, channels.len())?;
    for (i, channel) in channels.enumerate() {
        let of_channel = match merged.kind {
            Kind::Moments => from_moments(merged.values[i], merged.values[width + i], merged.count, eps),
            Kind::Deviations => from_deviations(merged.centre[i], merged.values[i], merged.count, eps),
            actual => return Err(KernelError::Kind { expected: Kind::Moments, actual }),
        };
        of_channel.store(statistics, channel);
    }
    Ok(())
}

/// Statistics from the running ones, for evaluation.
///
/// # Errors
/// If the lengths differ.
#[allow(clippy::cast_possible_truncation, reason = "eps is rounded as PyTorch rounds it")]
pub fn evaluation_statistics(
    running_mean: &[f32],
    running_var: &[f32],
    numerics: Numerics,
    eps: f64,
    statistics: &mut [f32],
) -> Result<(), KernelError> {
    expect_length("running_var", running_var.len(), running_mean.len())?;
    expect_length("statistics", statistics.len(), STATISTICS_ROWS * running_mean.len())?;
    for (channel, (mean, var)) in running_mean.iter().zip(running_var).enumerate() {
        let invstd = match numerics {
            Numerics::Stable => split(Eps { value: eps, mode: EpsMode::Plus }.invstd(f64::from(*var))),
            // f64 has more than twice the digits of f32, so the root is rounded to f32 as if it had been rounded once.
            Numerics::Torch => [1.0 / sqrt(f64::from(var + eps as f32)) as f32, 0.0],
        };
        ChannelStatistics { mean: [*mean, 0.0], invstd }.store(statistics, channel);
    }
    Ok(())
}
