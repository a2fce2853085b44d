//! y = (x − mean)·invstd·w + b.
//!
//! `stable`: y = (x − hi)·s + c with s = f32(invstd·w) and c = f32(b − lo·s). Folding the mean into c as well, as PyTorch
//! does, would be the dominant error when the mean is much larger than the deviation.
//! `torch`: alpha = f32(invstd·w), beta = fma(−m, alpha, b), y = fma(x, alpha, beta).

use core::ops::Range;

use crate::error::{KernelError, expect_length};
use crate::fma::fma;
use crate::layout::{Format, Layout};
use crate::statistics::{Numerics, Statistics};

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

/// The function of one channel.
#[derive(Debug, Clone, Copy)]
struct Line {
    centre: f32,
    slope: f32,
    offset: f32,
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
    expect_length("statistics", statistics.len(), 3 * layout.channels())?;
    affine.expect_channels(layout)?;
    normalize_channels(x, y, layout, 0..layout.channels(), numerics, statistics, affine);
    Ok(())
}

/// Normalizes some channels.
pub(crate) fn normalize_channels(
    x: Option<&[f32]>,
    y: &mut [f32],
    layout: &Layout,
    channels: Range<usize>,
    numerics: Numerics,
    statistics: &[f32],
    affine: &Affine<'_>,
) {
    let statistics = Statistics::of(statistics);
    let lines: Vec<Line> = channels.clone().map(|channel| line(channel, numerics, &statistics, affine)).collect();
    let all = layout.channels();
    match layout.format() {
        Format::ChannelsLast => {
            for row in 0..layout.samples() * layout.length() {
                let begin = row * all + channels.start;
                for (i, line) in lines.iter().enumerate() {
                    let value = x.map_or(y[begin + i], |x| x[begin + i]);
                    y[begin + i] = apply(value, *line, numerics);
                }
            }
        }
        Format::Contiguous => {
            for sample in 0..layout.samples() {
                for (i, line) in lines.iter().enumerate() {
                    let begin = (sample * all + channels.start + i) * layout.length();
                    for at in begin..begin + layout.length() {
                        let value = x.map_or(y[at], |x| x[at]);
                        y[at] = apply(value, *line, numerics);
                    }
                }
            }
        }
    }
}

fn apply(x: f32, line: Line, numerics: Numerics) -> f32 {
    match numerics {
        Numerics::Stable => (x - line.centre) * line.slope + line.offset,
        Numerics::Torch => fma(x, line.slope, line.offset),
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the offset is rounded once")]
fn line(channel: usize, numerics: Numerics, statistics: &Statistics<'_>, affine: &Affine<'_>) -> Line {
    let centre = statistics.mean_hi[channel];
    let slope = statistics.invstd[channel] * affine.weight_of(channel);
    let bias = affine.bias_of(channel);
    let offset = match numerics {
        Numerics::Stable => (f64::from(bias) - f64::from(statistics.mean_lo[channel]) * f64::from(slope)) as f32,
        Numerics::Torch => fma(-centre, slope, bias),
    };
    Line { centre, slope, offset }
}
