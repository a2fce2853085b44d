//! y = (x − mean)·invstd·w + b.
//!
//! `stable`: y = (x − centre)·s + c with s = f32(invstd·w) and c = f32(b − (mean − centre)·s). Folding all of the mean into
//! c, as PyTorch does, would be the dominant error when the mean is much larger than the deviation.
//! `torch`: alpha = f32(invstd·w), beta = fma(−m, alpha, b), y = fma(x, alpha, beta).

use alloc::vec::Vec;
use core::ops::Range;

use crate::error::{KernelError, expect_length};
use crate::layout::Layout;
use crate::normalize::elementwise::{Element, Parameters, Tensors, map_channels, wide_channels};
use crate::simd::Arithmetic;
use crate::simd::{Lanes, Native, round_ties_even};
use crate::simd::{fma, fma_vectors, is_addend_of_vectors};
use crate::statistics::{Numerics, STATISTICS_ROWS, Statistics};

/// Weight and bias, each C values or absent (1 and 0).
#[derive(Debug, Clone, Copy, Default)]
pub struct Affine<'a> {
    /// w.
    pub weight: Option<&'a [f32]>,
    /// b.
    pub bias: Option<&'a [f32]>,
}

impl Affine<'_> {
    pub(crate) fn expect_channels(&self, layout: &Layout) -> Result<(), KernelError> {
        layout.expect_vector("weight", self.weight)?;
        layout.expect_vector("bias", self.bias)
    }

    pub(crate) fn weight_of(&self, channel: usize) -> f32 {
        self.weight.map_or(1.0, |weight| weight[channel])
    }

    fn bias_of(&self, channel: usize) -> f32 {
        self.bias.map_or(0.0, |bias| bias[channel])
    }
}

/// Normalizes a shard. `x` absent: `y` holds x and is overwritten.
///
/// # Errors
/// If an argument is not as long as the layout says.
pub fn normalize(
    x: Option<&[f32]>,
    y: &mut [f32],
    layout: &Layout,
    numerics: Numerics,
    statistics: &[f32],
    affine: &Affine<'_>,
) -> Result<(), KernelError> {
    x.map_or(Ok(()), |x| layout.expect_tensor("x", x))?;
    layout.expect_tensor("y", y)?;
    expect_length("statistics", statistics.len(), STATISTICS_ROWS * layout.channels())?;
    affine.expect_channels(layout)?;
    normalize_channels::<Native>(x, y, layout, layout.worked_on(), numerics, statistics, affine);
    Ok(())
}

/// Normalizes some channels.
pub(crate) fn normalize_channels<V: Lanes>(
    x: Option<&[f32]>,
    y: &mut [f32],
    layout: &Layout,
    channels: Range<usize>,
    numerics: Numerics,
    statistics: &[f32],
    affine: &Affine<'_>,
) {
    let statistics = Statistics::of(statistics);
    let tensors = Tensors { first: x, x: &[], out: y };
    match numerics {
        Numerics::Stable => {
            let lines: Vec<_> = channels.clone().map(|channel| stable_line(channel, &statistics, affine)).collect();
            let exact = |number: usize| exact_line(channels.start + number, &statistics, affine);
            let wide = wide_channels::<Stable>(&lines, exact);
            map_channels::<V, Stable>(tensors, layout, channels, &lines, &wide);
        }
        Numerics::Torch => {
            let lines: Vec<_> = channels.clone().map(|channel| torch_line(channel, &statistics, affine)).collect();
            map_channels::<V, Torch>(tensors, layout, channels, &lines, &[]);
        }
    }
}

/// (x − centre)·slope + offset.
struct Stable;

impl Stable {
    fn line<T: Arithmetic>(x: T, [centre, slope, offset, _]: Parameters<T>) -> T {
        (x - centre) * slope + offset
    }
}

impl Element for Stable {
    const USES_X: bool = false;
    const FACTORS: Parameters<bool> = [false, true, false, false];

    #[inline(always)]
    fn of_vectors<V: Lanes>(x: V, _: V, line: Parameters<V>) -> V {
        Self::line(x, line)
    }

    #[inline(always)]
    fn of_scalars(x: f32, _: f32, line: Parameters) -> f32 {
        Self::line(x, line)
    }

    fn of_doubles(x: f64, _: f64, line: Parameters<f64>) -> f64 {
        Self::line(x, line)
    }
}

/// Centre, slope and offset of a channel. The last digit of the centre is 2^-16 of the deviation: x − centre is then exact for
/// most x, and what is left of the mean is so small that the offset, which takes it up, is not the worse for it. (Were it a
/// sixteenth of the deviation, a channel whose values are all equal would have lost half of its bias' digits.)
#[allow(clippy::cast_possible_truncation, reason = "slope and offset are rounded once")]
fn stable_line(channel: usize, statistics: &Statistics<'_>, affine: &Affine<'_>) -> Parameters {
    let (mean, invstd) = (statistics.mean(channel), statistics.invstd(channel));
    let slope = (invstd * f64::from(affine.weight_of(channel))) as f32;
    let inverse_step = 65536.0 * power_of_two_below(invstd);
    let coarse = round_ties_even(mean * inverse_step) * inverse_of_power(inverse_step);
    let centre = if coarse.is_finite() { coarse as f32 } else { statistics.mean_hi[channel] };
    let rest = mean - f64::from(centre);
    let offset = f64::from(affine.bias_of(channel)) - if rest.is_finite() { rest * f64::from(slope) } else { 0.0 };
    [centre, slope, offset as f32, 0.0]
}

/// The same without rounding.
fn exact_line(channel: usize, statistics: &Statistics<'_>, affine: &Affine<'_>) -> Parameters<f64> {
    let slope = statistics.invstd(channel) * f64::from(affine.weight_of(channel));
    [statistics.mean(channel), slope, f64::from(affine.bias_of(channel)), 0.0]
}

/// The exponent of a positive number as a number; 0 below the normal range.
pub(crate) fn power_of_two_below(value: f64) -> f64 {
    f64::from_bits(value.to_bits() & f64::INFINITY.to_bits())
}

/// 1 / a power of two, by its exponent; whatever for 0, infinity and beyond.
pub(crate) fn inverse_of_power(power: f64) -> f64 {
    f64::from_bits((2 * 1.0_f64.to_bits()).wrapping_sub(power.to_bits()))
}

/// fma(x, alpha, beta).
struct Torch;

impl Element for Torch {
    const USES_X: bool = false;
    const FACTORS: Parameters<bool> = [false; 4];

    #[inline(always)]
    fn of_vectors<V: Lanes>(x: V, _: V, [alpha, beta, ..]: Parameters<V>) -> V {
        fma_vectors(x, alpha, beta)
    }

    #[inline(always)]
    fn of_scalars(x: f32, _: f32, [alpha, beta, ..]: Parameters) -> f32 {
        fma(x, alpha, beta)
    }

    /// Unused: PyTorch computes all channels in f32.
    fn of_doubles(x: f64, _: f64, [alpha, beta, ..]: Parameters<f64>) -> f64 {
        x * alpha + beta
    }

    fn fits_vectors([_, beta, ..]: &Parameters) -> bool {
        is_addend_of_vectors(*beta)
    }
}

/// alpha and beta of a channel.
#[allow(clippy::cast_possible_truncation, reason = "the product of two f32 is exact before it is rounded")]
fn torch_line(channel: usize, statistics: &Statistics<'_>, affine: &Affine<'_>) -> Parameters {
    let alpha = (statistics.invstd(channel) * f64::from(affine.weight_of(channel))) as f32;
    [alpha, fma(-statistics.mean_hi[channel], alpha, affine.bias_of(channel)), 0.0, 0.0]
}
