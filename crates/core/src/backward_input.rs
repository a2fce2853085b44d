//! dx = (dy − Σdy/n − (x − mean)·invstd²·Σdy·(x − mean)/n)·invstd·w, and the gradients of weight and bias.
//!
//! Per channel dx = dy·a + (x − hi)·b + c, with constants computed in f64 and rounded once. In evaluation the statistics
//! are constants, so that b = c = 0.

use core::ops::Range;

use crate::error::{KernelError, expect_length};
use crate::kind::Kind;
use crate::layout::{Format, Layout};
use crate::partial::Merged;
use crate::statistics::Statistics;

/// The function of one channel.
#[derive(Debug, Clone, Copy)]
struct Plane {
    of_dy: f32,
    centre: f32,
    of_x: f32,
    offset: f32,
}

/// Σdy and Σdy·(x − hi) of n values for each channel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sums<'a> {
    pub(crate) count: u64,
    pub(crate) sum_dy: &'a [f64],
    pub(crate) sum_dy_xhi: &'a [f64],
}

impl<'a> Sums<'a> {
    pub(crate) fn of(count: u64, values: &'a [f64]) -> Self {
        let (sum_dy, sum_dy_xhi) = values.split_at(values.len() / 2);
        Self { count, sum_dy, sum_dy_xhi }
    }

    fn of_merged(merged: &'a Merged, channels: usize) -> Result<Self, KernelError> {
        if merged.kind != Kind::Sums {
            return Err(KernelError::Kind { expected: Kind::Sums, actual: merged.kind });
        }
        expect_length("sums", merged.values.len(), 2 * channels)?;
        Ok(Self::of(merged.count, &merged.values))
    }

    /// Σdy·(x − mean) of the i-th channel held here.
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
    let channels = statistics.len() / 3;
    expect_length("statistics", statistics.len(), 3 * channels)?;
    let sums = Sums::of_merged(sums, channels)?;
    dweight.as_deref().map_or(Ok(()), |dweight| expect_length("dweight", dweight.len(), channels))?;
    dbias.as_deref().map_or(Ok(()), |dbias| expect_length("dbias", dbias.len(), channels))?;
    parameters_of_channels(&sums, 0..channels, statistics, dweight, dbias);
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
        for (i, channel) in channels.clone().enumerate() {
            let sum_dy_xmu = sums.sum_dy_xmu(i, statistics.mean_lo[channel]);
            dweight[channel] = (sum_dy_xmu * f64::from(statistics.invstd[channel])) as f32;
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
    sums: Option<&Merged>,
) -> Result<(), KernelError> {
    dy.map_or(Ok(()), |dy| layout.expect_tensor("dy", dy))?;
    layout.expect_tensor("x", x)?;
    layout.expect_tensor("dx", dx)?;
    layout.expect_vector("weight", weight)?;
    expect_length("statistics", statistics.len(), 3 * layout.channels())?;
    let sums = sums.map(|sums| Sums::of_merged(sums, layout.channels())).transpose()?;
    input_of_channels(dy, x, dx, layout, 0..layout.channels(), statistics, weight, sums.as_ref());
    Ok(())
}

/// Input gradient of some channels; `sums` holds those channels alone.
#[allow(clippy::too_many_arguments, reason = "the tensors of the formula")]
pub(crate) fn input_of_channels(
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
    let planes: Vec<Plane> = channels
        .clone()
        .enumerate()
        .map(|(i, channel)| plane(i, channel, &statistics, weight.map_or(1.0, |weight| weight[channel]), sums))
        .collect();
    let all = layout.channels();
    match layout.format() {
        Format::ChannelsLast => {
            for row in 0..layout.samples() * layout.length() {
                let begin = row * all + channels.start;
                for (i, plane) in planes.iter().enumerate() {
                    let at = begin + i;
                    dx[at] = apply(dy.map_or(dx[at], |dy| dy[at]), x[at], *plane);
                }
            }
        }
        Format::Contiguous => {
            for sample in 0..layout.samples() {
                for (i, plane) in planes.iter().enumerate() {
                    let begin = (sample * all + channels.start + i) * layout.length();
                    for at in begin..begin + layout.length() {
                        dx[at] = apply(dy.map_or(dx[at], |dy| dy[at]), x[at], *plane);
                    }
                }
            }
        }
    }
}

fn apply(dy: f32, x: f32, plane: Plane) -> f32 {
    if plane.of_x == 0.0 && plane.offset == 0.0 {
        return dy * plane.of_dy;
    }
    dy * plane.of_dy + ((x - plane.centre) * plane.of_x + plane.offset)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "each constant is rounded once")]
fn plane(i: usize, channel: usize, statistics: &Statistics<'_>, weight: f32, sums: Option<&Sums<'_>>) -> Plane {
    let (invstd, mean_lo) = (f64::from(statistics.invstd[channel]), statistics.mean_lo[channel]);
    let scale = invstd * f64::from(weight);
    let centre = statistics.mean_hi[channel];
    let Some(sums) = sums.filter(|sums| sums.count > 0) else {
        return Plane { of_dy: scale as f32, centre, of_x: 0.0, offset: 0.0 };
    };
    let n = sums.count as f64;
    let of_x = -(invstd * invstd) * (sums.sum_dy_xmu(i, mean_lo) / n) * scale;
    let offset = -(sums.sum_dy[i] / n) * scale - of_x * f64::from(mean_lo);
    Plane { of_dy: scale as f32, centre, of_x: of_x as f32, offset: offset as f32 }
}
