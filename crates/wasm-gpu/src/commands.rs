//! What each command does: the method of [`Gpu`] for each row of the table. Steps work on all channels here: only the workers of
//! a group work on a part of them.

use std::pin::Pin;

use syncbn_commands::{Command, Reduction};
use syncbn_core::{EpsMode, Numerics};
use syncbn_gpu::{BackwardInput, BatchNorm, BatchNormBackward, Gpu, GpuError, Guard, Normalize, Running};

use crate::error::CallError;

/// Runs a command.
#[allow(clippy::cast_possible_truncation, reason = "a tensor holds single precision")]
pub(crate) fn run(gpu: &mut Gpu, command: Command<'_>) -> Result<(), CallError> {
    Ok(match command {
        Command::Fill { target, value } => gpu.fill(target, value as f32),
        Command::Add { a, b, target } => gpu.add(a, b, target),
        Command::Permute { source, target, layout } => gpu.permute(source, target, &layout),
        Command::BatchNorm {
            x,
            y,
            layout,
            numerics,
            eps,
            weight,
            bias,
            statistics,
            mean,
            variance,
            next_mean,
            next_variance,
            momentum,
            correction,
        } => {
            expect_stable(numerics)?;
            let normalize = Normalize { x, y, layout, statistics, weight, bias };
            let running = (next_mean != 0).then_some(Running {
                mean,
                variance,
                next_mean,
                next_variance,
                momentum: momentum.unwrap_or_default(),
                correction,
            });
            gpu.batch_norm(&BatchNorm { normalize, eps, running })
        }
        Command::BatchNormBackward { x, dy, dx, layout, statistics, weight, dweight, dbias, batch_statistics } => {
            let input = BackwardInput { x, dy, dx, layout, statistics, weight };
            gpu.batch_norm_backward(&BatchNormBackward { input, dweight, dbias, batch_statistics })
        }
        Command::Finalize { merged, eps, eps_mode, statistics, part: _ } => {
            gpu.finalize(merged, Guard { eps, clamps: eps_mode == EpsMode::Clamp }, statistics)
        }
        Command::UpdateRunning { merged, mean, variance, next_mean, next_variance, momentum, correction, part: _ } => {
            gpu.update_running(merged, &Running { mean, variance, next_mean, next_variance, momentum, correction })
        }
        Command::EvaluationStatistics { statistics, mean, variance, numerics, eps } => {
            expect_stable(numerics)?;
            gpu.evaluation_statistics(mean, variance, eps, statistics)
        }
        Command::Normalize { x, y, layout, numerics, statistics, weight, bias } => {
            expect_stable(numerics)?;
            gpu.normalize(&Normalize { x, y, layout, statistics, weight, bias })
        }
        Command::BackwardParameters { sums, statistics, dweight, dbias, part: _ } => {
            gpu.backward_parameters(sums, statistics, dweight, dbias)
        }
        Command::BackwardInput { x, dy, dx, layout, statistics, weight, sums, clamp_eps } => {
            let args = BackwardInput { x, dy, dx, layout, statistics, weight };
            gpu.backward_input(&args, sums, clamp_eps)
        }
    }?)
}

/// The bytes of a partial, when the GPU has answered.
pub(crate) type Partial = Pin<Box<dyn Future<Output = Result<Vec<u8>, GpuError>>>>;

/// Runs a reduction.
pub(crate) fn reduce(gpu: &mut Gpu, reduction: Reduction<'_>) -> Result<Partial, CallError> {
    Ok(match reduction {
        Reduction::Moments { x, layout, first_sample } => Box::pin(gpu.moments(x, &layout, sample(first_sample))?),
        Reduction::BackwardReduce { x, dy, layout, first_sample, statistics } => {
            Box::pin(gpu.backward_reduce(dy, x, statistics, &layout, sample(first_sample))?)
        }
        Reduction::Total { .. } | Reduction::Deviations { .. } => return Err(CallError::TorchNumerics),
    })
}

/// A sample number of JavaScript, where integers are exact up to 2^53.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates; NaN becomes 0")]
fn sample(number: f64) -> u64 {
    number as u64
}

/// Layers and functions refuse it before; this is for who calls a device by itself.
fn expect_stable(numerics: Numerics) -> Result<(), CallError> {
    if numerics == Numerics::Stable { Ok(()) } else { Err(CallError::TorchNumerics) }
}
