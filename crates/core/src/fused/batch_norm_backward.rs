//! The whole backward pass of a batch that lies on one device: sums, parameter gradients and input gradient, group of
//! channels by group. The bits are those of the steps.

use crate::error::{KernelError, expect_length};
use crate::kind::Kind;
use crate::layout::Layout;
use crate::layout::channel_groups;
use crate::normalize::{Sums, input_of_channels, parameters_of_channels};
use crate::reduce::{Inputs, Reduction};
use crate::simd::Native;
use crate::statistics::{STATISTICS_ROWS, Statistics};

/// What a backward pass is given besides its tensors.
#[derive(Debug, Clone, Copy)]
pub struct BatchNormBackward<'a> {
    /// Shape and memory format.
    pub layout: Layout,
    /// The rows that the forward pass wrote, or those of evaluation.
    pub statistics: &'a [f32],
    /// w, or absent (1).
    pub weight: Option<&'a [f32]>,
    /// Whether the statistics came from this batch (training) or are constants (evaluation).
    pub batch_statistics: bool,
}

/// Where the gradients go; each may be unwanted.
#[derive(Debug, Default)]
pub struct Gradients<'a> {
    /// Of the input; holds dy where dy is absent.
    pub dx: Option<&'a mut [f32]>,
    /// Of the weight.
    pub dweight: Option<&'a mut [f32]>,
    /// Of the bias.
    pub dbias: Option<&'a mut [f32]>,
}

/// Backward of a whole batch. `dy` absent: `dx` holds dy and is overwritten.
///
/// # Errors
/// If an argument is not as long as the layout says; nothing has been written then.
pub fn batch_norm_backward(
    args: &BatchNormBackward<'_>,
    dy: Option<&[f32]>,
    x: &[f32],
    mut gradients: Gradients<'_>,
) -> Result<(), KernelError> {
    check(args, dy, x, &gradients)?;
    let layout = &args.layout;
    let statistics = Statistics::of(args.statistics);
    let scales = statistics.scales_of_sums();
    let reduction = Reduction::<Native>::of_sums(statistics.mean_hi, &scales);
    let sums_wanted = args.batch_statistics || gradients.dweight.is_some() || gradients.dbias.is_some();
    for group in channel_groups(layout, Kind::Sums.inputs()) {
        let dy_now = dy.or(gradients.dx.as_deref());
        let values = if sums_wanted {
            reduction.whole(layout, Inputs { dy: dy_now, x }, group.clone())
        } else {
            vec![0.0; 2 * group.len()]
        };
        let sums = Sums::of(layout.values_per_channel(), &values);
        let (dweight, dbias) = (gradients.dweight.as_deref_mut(), gradients.dbias.as_deref_mut());
        parameters_of_channels(&sums, group.clone(), args.statistics, dweight, dbias);
        if let Some(dx) = gradients.dx.as_deref_mut() {
            let sums = args.batch_statistics.then_some(&sums);
            input_of_channels::<Native>(dy, x, dx, layout, group, args.statistics, args.weight, sums);
        }
    }
    Ok(())
}

fn check(
    args: &BatchNormBackward<'_>,
    dy: Option<&[f32]>,
    x: &[f32],
    gradients: &Gradients<'_>,
) -> Result<(), KernelError> {
    let layout = &args.layout;
    layout.expect_tensor("dy", dy.or(gradients.dx.as_deref()).unwrap_or_default())?;
    layout.expect_tensor("x", x)?;
    gradients.dx.as_deref().map_or(Ok(()), |dx| layout.expect_tensor("dx", dx))?;
    layout.expect_vector("dweight", gradients.dweight.as_deref())?;
    layout.expect_vector("dbias", gradients.dbias.as_deref())?;
    layout.expect_vector("weight", args.weight)?;
    expect_length("statistics", args.statistics.len(), STATISTICS_ROWS * layout.channels())
}
