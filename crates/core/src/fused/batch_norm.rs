//! The whole forward pass of a batch that lies on one device: moments, statistics, running statistics and normalize,
//! group of channels by group, so that a group is still cached when it is normalized. The bits are those of the steps.

use core::ops::Range;

use crate::error::{KernelError, expect_length};
use crate::kind::Kind;
use crate::layout::Layout;
use crate::layout::channel_groups;
use crate::normalize::{Affine, normalize_channels};
use crate::reduce::centre;
use crate::reduce::{Inputs, Reduction};
use crate::simd::Native;
use crate::statistics::{Eps, EpsMode, Numerics, STATISTICS_ROWS, from_deviations, from_moments};
use crate::statistics::{Observed, Running};

/// What a forward pass is given besides its tensors.
#[derive(Debug)]
pub struct BatchNorm<'a> {
    /// Shape and memory format.
    pub layout: Layout,
    /// Which arithmetic.
    pub numerics: Numerics,
    /// Added to the variance.
    pub eps: f64,
    /// Weight and bias.
    pub affine: Affine<'a>,
    /// Running statistics to update, if they are tracked.
    pub running: Option<Running<'a>>,
}

/// Training forward of a whole batch. `x` absent: `y` holds x and is overwritten. Writes the rows of `statistics`.
///
/// # Errors
/// If an argument is not as long as the layout says; nothing has been written then.
pub fn batch_norm(
    mut args: BatchNorm<'_>,
    x: Option<&[f32]>,
    y: &mut [f32],
    statistics: &mut [f32],
) -> Result<(), KernelError> {
    let layout = args.layout;
    x.map_or(Ok(()), |x| layout.expect_tensor("x", x))?;
    layout.expect_tensor("y", y)?;
    expect_length("statistics", statistics.len(), STATISTICS_ROWS * layout.channels())?;
    args.affine.expect_channels(&layout)?;
    args.running.as_ref().map_or(Ok(()), |running| running.expect_channels(layout.channels()))?;
    for group in channel_groups(&layout, Kind::Moments.inputs()) {
        let input = x.unwrap_or(y);
        match args.numerics {
            Numerics::Stable => stable_statistics(&mut args, input, group.clone(), statistics),
            Numerics::Torch => torch_statistics(&mut args, input, group.clone(), statistics),
        }
        normalize_channels::<Native>(x, y, &layout, group, args.numerics, statistics, &args.affine);
    }
    Ok(())
}

fn stable_statistics(args: &mut BatchNorm<'_>, x: &[f32], group: Range<usize>, statistics: &mut [f32]) {
    let count = args.layout.values_per_channel();
    let eps = Eps { value: args.eps, mode: EpsMode::Plus };
    let moments = Reduction::<Native>::new(Kind::Moments, &[]).whole(&args.layout, Inputs::of(x), group.clone());
    let (means, m2s) = moments.split_at(group.len());
    for ((channel, mean), m2) in group.zip(means).zip(m2s) {
        from_moments(*mean, *m2, count, eps).store(statistics, channel);
        if let Some(running) = &mut args.running {
            running.update_channel(channel, Observed { mean: *mean, m2: *m2, count }, Numerics::Stable);
        }
    }
}

fn torch_statistics(args: &mut BatchNorm<'_>, x: &[f32], group: Range<usize>, statistics: &mut [f32]) {
    let count = args.layout.values_per_channel();
    let eps = Eps { value: args.eps, mode: EpsMode::Plus };
    let totals = Reduction::<Native>::new(Kind::Total, &[]).whole(&args.layout, Inputs::of(x), group.clone());
    for (channel, total) in group.clone().zip(&totals) {
        statistics[channel] = centre(*total, count);
    }
    let centre = &statistics[..args.layout.channels()];
    let deviations =
        Reduction::<Native>::new(Kind::Deviations, centre).whole(&args.layout, Inputs::of(x), group.clone());
    for (channel, m2) in group.zip(&deviations) {
        let of_channel = from_deviations(statistics[channel], *m2, count, eps);
        of_channel.store(statistics, channel);
        if let Some(running) = &mut args.running {
            let observed = Observed { mean: f64::from(statistics[channel]), m2: *m2, count };
            running.update_channel(channel, observed, Numerics::Torch);
        }
    }
}
