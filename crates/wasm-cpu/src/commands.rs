//! What each command does: the kernel of each row of the table, with the buffers it names.

use alloc::vec::Vec;

use syncbn_commands::{Command, Reduction};
use syncbn_core::{
    Affine, BatchNorm, BatchNormBackward, BatchSums, Eps, Gradients, Merged, Partial, Running, STATISTICS_ROWS,
};

use crate::arena::Arena;
use crate::error::CallError;

/// What the commands of one call share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    merged: Option<Merged>,
}

impl Shared {
    /// What the partials merge to. The commands of a call share their bytes, so it is computed once.
    fn merged(&mut self, partials: &[u8]) -> Result<&Merged, CallError> {
        let merged = match self.merged.take() {
            Some(merged) => merged,
            None => finish(partials)?,
        };
        Ok(self.merged.insert(merged))
    }
}

/// Runs a command. One that fails has written nothing.
#[allow(clippy::cast_possible_truncation, reason = "a tensor holds single precision")]
pub(crate) fn run(arena: &mut Arena, command: Command<'_>, shared: &mut Shared) -> Result<(), CallError> {
    match command {
        Command::Fill { target, value } => arena.lend([target], |_, [target]| {
            target.unwrap_or_default().fill(value as f32);
            Ok(())
        }),
        Command::Add { a, b, target } => arena.lend([target], |arena, [sum]| {
            let sum = sum.unwrap_or_default();
            match (a == target, b == target) {
                (true, true) => syncbn_core::double(sum),
                (true, false) => syncbn_core::add_in_place(sum, arena.get(b)?)?,
                (false, true) => syncbn_core::add_in_place(sum, arena.get(a)?)?,
                (false, false) => syncbn_core::add(arena.get(a)?, arena.get(b)?, sum)?,
            }
            Ok(())
        }),
        Command::Permute { source, target, layout } => arena.lend([target], |arena, [target]| {
            Ok(syncbn_core::permute(arena.get(source)?, target.unwrap_or_default(), &layout)?)
        }),
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
            let outputs = [y, statistics, next_mean, next_variance];
            arena.lend(outputs, |arena, [values, statistics, next_mean, next_variance]| {
                let running = match (next_mean, next_variance) {
                    (Some(next_mean), Some(next_variance)) => {
                        let (mean, variance) = (arena.get(mean)?, arena.get(variance)?);
                        let momentum = momentum.unwrap_or_default();
                        Some(Running { mean, variance, next_mean, next_variance, momentum, correction })
                    }
                    _ => None,
                };
                let affine = Affine { weight: arena.get_optional(weight)?, bias: arena.get_optional(bias)? };
                let args = BatchNorm { layout, numerics, eps, affine, running };
                let x = if x == y { None } else { Some(arena.get(x)?) };
                Ok(syncbn_core::batch_norm(args, x, values.unwrap_or_default(), statistics.unwrap_or_default())?)
            })
        }
        Command::BatchNormBackward { x, dy, dx, layout, statistics, weight, dweight, dbias, batch_statistics } => arena
            .lend([dx, dweight, dbias], |arena, [gradient, dweight, dbias]| {
                let (statistics, weight) = (arena.get(statistics)?, arena.get_optional(weight)?);
                let args = BatchNormBackward { layout, statistics, weight, batch_statistics };
                let dy = if dy == dx { None } else { Some(arena.get(dy)?) };
                let gradients = Gradients { dx: gradient, dweight, dbias };
                Ok(syncbn_core::batch_norm_backward(&args, dy, arena.get(x)?, gradients)?)
            }),
        Command::Finalize { merged, eps, eps_mode, statistics, part } => {
            let merged = shared.merged(merged)?;
            arena.lend([statistics], |_, [statistics]| {
                let statistics = statistics.unwrap_or_default();
                let channels = part.of(statistics.len() / STATISTICS_ROWS);
                Ok(syncbn_core::finalize_of(channels, merged, Eps { value: eps, mode: eps_mode }, statistics)?)
            })
        }
        Command::UpdateRunning { merged, mean, variance, next_mean, next_variance, momentum, correction, part } => {
            let merged = shared.merged(merged)?;
            arena.lend([next_mean, next_variance], |arena, [next_mean, next_variance]| {
                let (mean, variance) = (arena.get(mean)?, arena.get(variance)?);
                let (next_mean, next_variance) = (next_mean.unwrap_or_default(), next_variance.unwrap_or_default());
                let mut running = Running { mean, variance, next_mean, next_variance, momentum, correction };
                Ok(syncbn_core::update_running_of(part.of(mean.len()), merged, &mut running)?)
            })
        }
        Command::EvaluationStatistics { statistics, mean, variance, numerics, eps } => {
            arena.lend([statistics], |arena, [statistics]| {
                let (mean, variance) = (arena.get(mean)?, arena.get(variance)?);
                let statistics = statistics.unwrap_or_default();
                Ok(syncbn_core::evaluation_statistics(mean, variance, numerics, eps, statistics)?)
            })
        }
        Command::Normalize { x, y, layout, numerics, statistics, weight, bias } => {
            arena.lend([y], |arena, [values]| {
                let affine = Affine { weight: arena.get_optional(weight)?, bias: arena.get_optional(bias)? };
                let x = if x == y { None } else { Some(arena.get(x)?) };
                let statistics = arena.get(statistics)?;
                let values = values.unwrap_or_default();
                Ok(syncbn_core::normalize(x, values, &layout, numerics, statistics, &affine)?)
            })
        }
        Command::BackwardParameters { sums, statistics, dweight, dbias, part } => {
            let sums = shared.merged(sums)?;
            arena.lend([dweight, dbias], |arena, [dweight, dbias]| {
                let statistics = arena.get(statistics)?;
                let channels = part.of(statistics.len() / STATISTICS_ROWS);
                Ok(syncbn_core::backward_parameters_of(channels, sums, statistics, dweight, dbias)?)
            })
        }
        Command::BackwardInput { x, dy, dx, layout, statistics, weight, sums, clamp_eps } => {
            let merged = sums.map(|sums| shared.merged(sums)).transpose()?;
            let sums = merged.map(|merged| BatchSums { merged, clamp_eps });
            arena.lend([dx], |arena, [gradient]| {
                let dy = if dy == dx { None } else { Some(arena.get(dy)?) };
                let (x, statistics, weight) = (arena.get(x)?, arena.get(statistics)?, arena.get_optional(weight)?);
                let gradient = gradient.unwrap_or_default();
                Ok(syncbn_core::backward_input(dy, x, gradient, &layout, statistics, weight, sums)?)
            })
        }
    }
}

/// Runs a reduction.
pub(crate) fn reduce(arena: &Arena, reduction: Reduction<'_>) -> Result<Vec<u8>, CallError> {
    let partial = match reduction {
        Reduction::Moments { x, layout, first_sample } => {
            syncbn_core::moments(arena.get(x)?, &layout, sample(first_sample))
        }
        Reduction::Total { x, layout, first_sample } => {
            syncbn_core::total(arena.get(x)?, &layout, sample(first_sample))
        }
        Reduction::Deviations { x, layout, first_sample, total } => {
            let centre = syncbn_core::centre_of(&finish(total)?)?;
            syncbn_core::deviations(arena.get(x)?, &centre, &layout, sample(first_sample))
        }
        Reduction::BackwardReduce { x, dy, layout, first_sample, statistics } => {
            let (x, dy, statistics) = (arena.get(x)?, arena.get(dy)?, arena.get(statistics)?);
            syncbn_core::backward_reduce(dy, x, statistics, &layout, sample(first_sample))
        }
    };
    Ok(partial?.to_bytes())
}

/// A sample number of JavaScript, where integers are exact up to 2^53.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates; NaN becomes 0")]
fn sample(number: f64) -> u64 {
    number as u64
}

/// What is merged may still be partials laid end to end: other kinds of devices leave the merging to whoever needs it.
fn finish(bytes: &[u8]) -> Result<Merged, CallError> {
    Ok(Partial::merge_bytes(bytes)?.finish()?)
}
