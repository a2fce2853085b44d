//! The statistics that normalize: `mean_hi`, `mean_lo` and `invstd`, three rows of C values.
//!
//! The mean is carried as two f32, hi + lo, because x − mean is what accuracy hangs on when the mean is much larger than
//! the deviation. `torch` numerics has a mean of one f32, and lo = 0.

use crate::error::{KernelError, expect_length};
use crate::kind::Kind;
use crate::partial::Merged;

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
        1.0 / guarded.sqrt()
    }
}

/// The three rows, for reading.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Statistics<'a> {
    pub(crate) mean_hi: &'a [f32],
    pub(crate) mean_lo: &'a [f32],
    pub(crate) invstd: &'a [f32],
}

impl<'a> Statistics<'a> {
    pub(crate) fn of(rows: &'a [f32]) -> Self {
        let channels = rows.len() / 3;
        let (mean_hi, rest) = rows.split_at(channels);
        let (mean_lo, invstd) = rest.split_at(channels);
        Self { mean_hi, mean_lo, invstd }
    }
}

/// Statistics of one channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ChannelStatistics {
    pub(crate) mean_hi: f32,
    pub(crate) mean_lo: f32,
    pub(crate) invstd: f32,
}

impl ChannelStatistics {
    /// Of a batch without values: nothing will be normalized with it, but it must be finite.
    const EMPTY: Self = Self { mean_hi: 0.0, mean_lo: 0.0, invstd: 0.0 };

    pub(crate) fn store(self, rows: &mut [f32], channel: usize) {
        let channels = rows.len() / 3;
        rows[channel] = self.mean_hi;
        rows[channels + channel] = self.mean_lo;
        rows[2 * channels + channel] = self.invstd;
    }
}

/// From mean and M2 of n values, `stable` numerics.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "each result is rounded once")]
pub(crate) fn from_moments(mean: f64, m2: f64, count: u64, eps: Eps) -> ChannelStatistics {
    if count == 0 {
        return ChannelStatistics::EMPTY;
    }
    let mean_hi = mean as f32;
    let rest = (mean - f64::from(mean_hi)) as f32;
    let mean_lo = if rest.is_finite() { rest } else { 0.0 };
    ChannelStatistics { mean_hi, mean_lo, invstd: eps.invstd(m2 / count as f64) as f32 }
}

/// From PyTorch's m and Σ(x − m)², `torch` numerics.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "PyTorch rounds at these places")]
pub(crate) fn from_deviations(centre: f32, deviations: f64, count: u64, eps: Eps) -> ChannelStatistics {
    if count == 0 {
        return ChannelStatistics::EMPTY;
    }
    let var_biased = deviations as f32 / count as f32;
    ChannelStatistics { mean_hi: centre, mean_lo: 0.0, invstd: eps.invstd(f64::from(var_biased)) as f32 }
}

/// Statistics from the merged moments (`stable`) or deviations (`torch`) of a whole batch into three rows of C values.
///
/// # Errors
/// If `merged` is of another kind or `statistics` of another length.
pub fn finalize(merged: &Merged, eps: Eps, statistics: &mut [f32]) -> Result<(), KernelError> {
    let channels = merged.values.len() / merged.kind.values();
    expect_length("statistics", statistics.len(), 3 * channels)?;
    for channel in 0..channels {
        let of_channel = match merged.kind {
            Kind::Moments => from_moments(merged.values[channel], merged.values[channels + channel], merged.count, eps),
            Kind::Deviations => from_deviations(merged.centre[channel], merged.values[channel], merged.count, eps),
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
#[allow(clippy::cast_possible_truncation, reason = "eps is rounded as PyTorch rounds it, the result once")]
pub fn evaluation_statistics(
    running_mean: &[f32],
    running_var: &[f32],
    numerics: Numerics,
    eps: f64,
    statistics: &mut [f32],
) -> Result<(), KernelError> {
    expect_length("running_var", running_var.len(), running_mean.len())?;
    expect_length("statistics", statistics.len(), 3 * running_mean.len())?;
    for (channel, (mean, var)) in running_mean.iter().zip(running_var).enumerate() {
        let invstd = match numerics {
            Numerics::Stable => Eps { value: eps, mode: EpsMode::Plus }.invstd(f64::from(*var)) as f32,
            Numerics::Torch => 1.0 / (var + eps as f32).sqrt(),
        };
        ChannelStatistics { mean_hi: *mean, mean_lo: 0.0, invstd }.store(statistics, channel);
    }
    Ok(())
}
