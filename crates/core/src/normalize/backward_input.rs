//! dx = (dy − Σdy/n − (x − mean)·invstd²·Σdy·(x − mean)/n)·invstd·w, and the gradients of weight and bias.
//!
//! Per channel dx = dy·a + (x − hi)·b + c, with constants computed in f64 and rounded once. In evaluation the statistics
//! are constants, so that b = c = 0.

use alloc::vec::Vec;
use core::ops::Range;

use crate::error::{KernelError, expect_channels, expect_length};
use crate::kind::Kind;
use crate::layout::Layout;
use crate::normalize::elementwise::{Element, Parameters, Tensors, map_channels, wide_channels};
use crate::simd::Arithmetic;
use crate::simd::{Lanes, Native};
use crate::statistics::{Eps, EpsMode, STATISTICS_ROWS, Statistics};
use crate::tree::Merged;

/// The merged sums of a whole batch, and how its variance was guarded.
#[derive(Debug, Clone, Copy)]
pub struct BatchSums<'a> {
    /// Merged [`Kind::Sums`].
    pub merged: &'a Merged,
    /// Eps where the variance was max(var, eps), `None` where it was var + eps. A variance that eps has replaced does not
    /// depend on x, so nothing flows back through it.
    pub clamp_eps: Option<f64>,
}

/// Σdy and Σdy·(x − hi) of n values for each channel, the latter times the scale of the channel's sums.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sums<'a> {
    pub(crate) count: u64,
    pub(crate) sum_dy: &'a [f64],
    pub(crate) sum_dy_xhi: &'a [f64],
    /// The inverse deviation of channels whose variance eps has replaced; all others have a smaller one.
    clamped_invstd: Option<f32>,
}

impl<'a> Sums<'a> {
    pub(crate) fn of(count: u64, values: &'a [f64]) -> Self {
        let (sum_dy, sum_dy_xhi) = values.split_at(values.len() / 2);
        Self { count, sum_dy, sum_dy_xhi, clamped_invstd: None }
    }

    #[allow(clippy::cast_possible_truncation, reason = "compared with an inverse deviation rounded likewise")]
    fn clamped(self, eps: Option<f64>) -> Self {
        let invstd = |value| Eps { value, mode: EpsMode::Clamp }.invstd(0.0) as f32;
        Self { clamped_invstd: eps.map(invstd), ..self }
    }

    fn of_merged(merged: &'a Merged, channels: usize) -> Result<Self, KernelError> {
        if merged.kind != Kind::Sums {
            return Err(KernelError::Kind { expected: Kind::Sums, actual: merged.kind });
        }
        expect_length("sums", merged.values.len(), 2 * channels)?;
        Ok(Self::of(merged.count, &merged.values))
    }

    /// Σdy·(x − mean) of the i-th channel held here, whose sums have no scale.
    fn sum_dy_xmu(&self, i: usize, mean_lo: f32) -> f64 {
        self.sum_dy_xhi[i] - f64::from(mean_lo) * self.sum_dy[i]
    }
}

/// dweight = Σdy·(x − mean)·invstd and dbias = Σdy from the sums of the whole batch; either may be unwanted.
///
/// # Errors
/// If an argument is of another kind or length.
pub fn backward_parameters(
    sums: &Merged,
    statistics: &[f32],
    dweight: Option<&mut [f32]>,
    dbias: Option<&mut [f32]>,
) -> Result<(), KernelError> {
    backward_parameters_of(0..statistics.len() / STATISTICS_ROWS, sums, statistics, dweight, dbias)
}

/// [`backward_parameters`] of some channels, which are all that `sums` holds.
///
/// # Errors
/// If an argument is of another kind or length.
pub fn backward_parameters_of(
    worked_on: Range<usize>,
    sums: &Merged,
    statistics: &[f32],
    dweight: Option<&mut [f32]>,
    dbias: Option<&mut [f32]>,
) -> Result<(), KernelError> {
    let channels = statistics.len() / STATISTICS_ROWS;
    expect_length("statistics", statistics.len(), STATISTICS_ROWS * channels)?;
    expect_channels(&worked_on, channels)?;
    let sums = Sums::of_merged(sums, worked_on.len())?;
    dweight.as_deref().map_or(Ok(()), |dweight| expect_length("dweight", dweight.len(), channels))?;
    dbias.as_deref().map_or(Ok(()), |dbias| expect_length("dbias", dbias.len(), channels))?;
    parameters_of_channels(&sums, worked_on, statistics, dweight, dbias);
    Ok(())
}

/// Parameter gradients of some channels; `sums` holds those channels alone, the slices all.
#[allow(clippy::cast_possible_truncation, reason = "each gradient is rounded once")]
pub(crate) fn parameters_of_channels(
    sums: &Sums<'_>,
    channels: Range<usize>,
    statistics: &[f32],
    dweight: Option<&mut [f32]>,
    dbias: Option<&mut [f32]>,
) {
    let statistics = Statistics::of(statistics);
    if let Some(dweight) = dweight {
        let unscaled = statistics.unscaled(channels.clone(), sums.sum_dy_xhi);
        let sums = Sums { sum_dy_xhi: unscaled.as_deref().unwrap_or(sums.sum_dy_xhi), ..*sums };
        for (i, channel) in channels.clone().enumerate() {
            let sum_dy_xmu = sums.sum_dy_xmu(i, statistics.mean_lo[channel]);
            dweight[channel] = (sum_dy_xmu * statistics.invstd(channel)) as f32;
        }
    }
    if let Some(dbias) = dbias {
        for (sum_dy, dbias) in sums.sum_dy.iter().zip(&mut dbias[channels]) {
            *dbias = *sum_dy as f32;
        }
    }
}

/// Input gradient of a shard. `dy` absent: `dx` holds dy and is overwritten. `sums` absent: evaluation.
///
/// # Errors
/// If an argument is of another kind or length.
pub fn backward_input(
    dy: Option<&[f32]>,
    x: &[f32],
    dx: &mut [f32],
    layout: &Layout,
    statistics: &[f32],
    weight: Option<&[f32]>,
    sums: Option<BatchSums<'_>>,
) -> Result<(), KernelError> {
    dy.map_or(Ok(()), |dy| layout.expect_tensor("dy", dy))?;
    layout.expect_tensor("x", x)?;
    layout.expect_tensor("dx", dx)?;
    layout.expect_vector("weight", weight)?;
    expect_length("statistics", statistics.len(), STATISTICS_ROWS * layout.channels())?;
    let sums = sums
        .map(
            |BatchSums { merged, clamp_eps }| Ok(Sums::of_merged(merged, layout.worked_on().len())?.clamped(clamp_eps)),
        )
        .transpose()?;
    input_of_channels::<Native>(dy, x, dx, layout, layout.worked_on(), statistics, weight, sums.as_ref());
    Ok(())
}

/// Input gradient of some channels; `sums` holds those channels alone.
#[allow(clippy::too_many_arguments, reason = "the tensors of the formula")]
pub(crate) fn input_of_channels<V: Lanes>(
    dy: Option<&[f32]>,
    x: &[f32],
    dx: &mut [f32],
    layout: &Layout,
    channels: Range<usize>,
    statistics: &[f32],
    weight: Option<&[f32]>,
    sums: Option<&Sums<'_>>,
) {
    let statistics = Statistics::of(statistics);
    let scale = |channel: usize| statistics.invstd(channel) * weight.map_or(1.0, |weight| f64::from(weight[channel]));
    if let Some(sums) = sums.filter(|sums| sums.count > 0) {
        let unscaled = statistics.unscaled(channels.clone(), sums.sum_dy_xhi);
        let sums = Sums { sum_dy_xhi: unscaled.as_deref().unwrap_or(sums.sum_dy_xhi), ..*sums };
        let exact = |i: usize| {
            let channel = channels.start + i;
            exact_plane(i, channel, &statistics, scale(channel), &sums)
        };
        let numbered = channels.clone().enumerate();
        let planes: Vec<_> =
            numbered.map(|(i, channel)| plane(i, channel, &statistics, scale(channel), &sums)).collect();
        let wide = wide_channels::<Plane>(&planes, exact);
        map_channels::<V, Plane>(Tensors { first: dy, x, out: dx }, layout, channels, &planes, &wide);
    } else {
        #[allow(clippy::cast_possible_truncation, reason = "the scale is rounded once")]
        let scales: Vec<_> = channels.clone().map(|channel| [scale(channel) as f32, 0.0, 0.0, 0.0]).collect();
        let wide = wide_channels::<Scale>(&scales, |i| [scale(channels.start + i), 0.0, 0.0, 0.0]);
        map_channels::<V, Scale>(Tensors { first: dy, x: &[], out: dx }, layout, channels, &scales, &wide);
    }
}

/// dy·a + ((x − hi)·b + c).
struct Plane;

impl Plane {
    fn at<T: Arithmetic>(dy: T, x: T, [a, centre, b, c]: Parameters<T>) -> T {
        dy * a + ((x - centre) * b + c)
    }
}

impl Element for Plane {
    const USES_X: bool = true;
    const FACTORS: Parameters<bool> = [true, false, true, false];

    #[inline(always)]
    fn of_vectors<V: Lanes>(dy: V, x: V, plane: Parameters<V>) -> V {
        Self::at(dy, x, plane)
    }

    #[inline(always)]
    fn of_scalars(dy: f32, x: f32, plane: Parameters) -> f32 {
        Self::at(dy, x, plane)
    }

    fn of_doubles(dy: f64, x: f64, plane: Parameters<f64>) -> f64 {
        Self::at(dy, x, plane)
    }
}

/// dy·a: x does not take part, so that one that is not finite does no harm.
struct Scale;

impl Element for Scale {
    const USES_X: bool = false;
    const FACTORS: Parameters<bool> = [true, false, false, false];

    #[inline(always)]
    fn of_vectors<V: Lanes>(dy: V, _: V, [a, ..]: Parameters<V>) -> V {
        dy * a
    }

    #[inline(always)]
    fn of_scalars(dy: f32, _: f32, [a, ..]: Parameters) -> f32 {
        dy * a
    }

    fn of_doubles(dy: f64, _: f64, [a, ..]: Parameters<f64>) -> f64 {
        dy * a
    }
}

#[allow(clippy::cast_possible_truncation, reason = "each constant is rounded once")]
fn plane(i: usize, channel: usize, statistics: &Statistics<'_>, scale: f64, sums: &Sums<'_>) -> Parameters {
    let [scale, _, of_x, at_mean] = exact_plane(i, channel, statistics, scale, sums);
    let offset = at_mean - of_x * f64::from(statistics.mean_lo[channel]);
    [scale as f32, statistics.mean_hi[channel], of_x as f32, offset as f32]
}

/// The same relative to the exact mean, without rounding.
#[inline(always)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "compared as f32; a count is below 2^53"
)]
fn exact_plane(i: usize, channel: usize, statistics: &Statistics<'_>, scale: f64, sums: &Sums<'_>) -> Parameters<f64> {
    let (invstd, mean_lo) = (statistics.invstd(channel), statistics.mean_lo[channel]);
    let n = sums.count as f64;
    let is_clamped = sums.clamped_invstd.is_some_and(|clamped| invstd as f32 >= clamped);
    let of_x = if is_clamped { 0.0 } else { -(invstd * invstd) * (sums.sum_dy_xmu(i, mean_lo) / n) * scale };
    [scale, statistics.mean(channel), of_x, -(sums.sum_dy[i] / n) * scale]
}
