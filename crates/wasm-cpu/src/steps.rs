//! The steps of a batch that is spread over several devices.
//!
//! Each works on the channels from `first_channel` to `end_channel`, or to the last where that is 0, of the buffers it is given;
//! bytes hold those channels alone.

use alloc::vec::Vec;

use syncbn_core::{Affine, BatchSums, Eps, EpsMode, Kind, Merged, Partial, Running, STATISTICS_ROWS};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::error::CallError;
use crate::kernels::{CpuKernels, numerics, part, range};

/// A sample number of JavaScript, where integers are exact up to 2^53.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates; NaN becomes 0")]
fn sample(number: f64) -> u64 {
    number as u64
}

/// What is merged may still be partials laid end to end: other kinds of devices leave the merging to whoever needs it.
#[inline(never)]
fn finish(bytes: &[u8]) -> Result<Merged, CallError> {
    Ok(Partial::merge_bytes(bytes)?.finish()?)
}

#[wasm_bindgen]
#[allow(clippy::missing_errors_doc, reason = "every call fails alike: see the crate")]
#[allow(clippy::too_many_arguments, reason = "numbers cross the border without allocation, structs do not")]
impl CpuKernels {
    /// A partial of a shard. `kind` is that of the partial ([`Kind`]): `total`, the merged one of the whole batch, belongs to
    /// deviations, `dy` and `statistics` to sums; elsewhere they are empty or 0.
    pub fn reduce(
        &self,
        kind: u32,
        x: u32,
        samples: u32,
        channels: u32,
        length: u32,
        channels_last: bool,
        first_channel: u32,
        end_channel: u32,
        first_sample: f64,
        total: &[u8],
        dy: u32,
        statistics: u32,
    ) -> Result<Vec<u8>, CallError> {
        let layout = part(samples, channels, length, channels_last, first_channel, end_channel)?;
        let (x, first) = (self.arena.get(x)?, sample(first_sample));
        let partial = match Kind::from_number(kind)? {
            Kind::Moments => syncbn_core::moments(x, &layout, first),
            Kind::Total => syncbn_core::total(x, &layout, first),
            Kind::Deviations => syncbn_core::deviations(x, &syncbn_core::centre_of(&finish(total)?)?, &layout, first),
            Kind::Sums => {
                syncbn_core::backward_reduce(self.arena.get(dy)?, x, self.arena.get(statistics)?, &layout, first)
            }
        };
        Ok(partial?.to_bytes())
    }

    /// Merges partials that are laid end to end, in order of samples.
    pub fn merge(&self, partials: &[u8]) -> Result<Vec<u8>, CallError> {
        Ok(Partial::merge_bytes(partials)?.to_bytes())
    }

    /// Statistics of a whole batch.
    pub fn finalize(
        &mut self,
        merged: &[u8],
        first_channel: u32,
        end_channel: u32,
        eps: f64,
        clamp: bool,
        statistics: u32,
    ) -> Result<(), CallError> {
        let merged = finish(merged)?;
        let eps = Eps { value: eps, mode: if clamp { EpsMode::Clamp } else { EpsMode::Plus } };
        self.arena.lend([statistics], |_, [statistics]| {
            let statistics = statistics.unwrap_or_default();
            let channels = range(first_channel, end_channel, statistics.len() / STATISTICS_ROWS);
            Ok(syncbn_core::finalize_of(channels, &merged, eps, statistics)?)
        })
    }

    /// The running statistics after a batch.
    #[wasm_bindgen(js_name = updateRunning)]
    pub fn update_running(
        &mut self,
        merged: &[u8],
        first_channel: u32,
        end_channel: u32,
        running_mean: u32,
        running_var: u32,
        next_mean: u32,
        next_var: u32,
        momentum: f64,
        correction: u32,
    ) -> Result<(), CallError> {
        let merged = finish(merged)?;
        self.arena.lend([next_mean, next_var], |arena, [next_mean, next_variance]| {
            let (mean, variance) = (arena.get(running_mean)?, arena.get(running_var)?);
            let (next_mean, next_variance) = (next_mean.unwrap_or_default(), next_variance.unwrap_or_default());
            let channels = range(first_channel, end_channel, mean.len());
            let mut running = Running { mean, variance, next_mean, next_variance, momentum, correction };
            Ok(syncbn_core::update_running_of(channels, &merged, &mut running)?)
        })
    }

    /// Statistics from the running ones, for evaluation.
    #[wasm_bindgen(js_name = evaluationStatistics)]
    pub fn evaluation_statistics(
        &mut self,
        running_mean: u32,
        running_var: u32,
        torch: bool,
        eps: f64,
        statistics: u32,
    ) -> Result<(), CallError> {
        self.arena.lend([statistics], |arena, [statistics]| {
            let (mean, var) = (arena.get(running_mean)?, arena.get(running_var)?);
            let statistics = statistics.unwrap_or_default();
            Ok(syncbn_core::evaluation_statistics(mean, var, numerics(torch), eps, statistics)?)
        })
    }

    /// Normalizes a shard; `y` may be `x`.
    pub fn normalize(
        &mut self,
        x: u32,
        y: u32,
        samples: u32,
        channels: u32,
        length: u32,
        channels_last: bool,
        first_channel: u32,
        end_channel: u32,
        torch: bool,
        statistics: u32,
        weight: u32,
        bias: u32,
    ) -> Result<(), CallError> {
        let layout = part(samples, channels, length, channels_last, first_channel, end_channel)?;
        self.arena.lend([y], |arena, [values]| {
            let affine = Affine { weight: arena.get_optional(weight)?, bias: arena.get_optional(bias)? };
            let x = if x == y { None } else { Some(arena.get(x)?) };
            let statistics = arena.get(statistics)?;
            let values = values.unwrap_or_default();
            Ok(syncbn_core::normalize(x, values, &layout, numerics(torch), statistics, &affine)?)
        })
    }

    /// Gradients of weight and bias; each may be 0: not wanted.
    #[wasm_bindgen(js_name = backwardParameters)]
    pub fn backward_parameters(
        &mut self,
        sums: &[u8],
        first_channel: u32,
        end_channel: u32,
        statistics: u32,
        dweight: u32,
        dbias: u32,
    ) -> Result<(), CallError> {
        let sums = finish(sums)?;
        self.arena.lend([dweight, dbias], |arena, [dweight, dbias]| {
            let statistics = arena.get(statistics)?;
            let channels = range(first_channel, end_channel, statistics.len() / STATISTICS_ROWS);
            Ok(syncbn_core::backward_parameters_of(channels, &sums, statistics, dweight, dbias)?)
        })
    }

    /// Input gradient of a shard; `dx` may be `dy`. Without `sums`: evaluation. With `clamp_eps`: the variance was
    /// max(var, `clamp_eps`).
    #[allow(clippy::needless_pass_by_value, reason = "wasm-bindgen lends slices but not optional ones")]
    #[wasm_bindgen(js_name = backwardInput)]
    pub fn backward_input(
        &mut self,
        x: u32,
        dy: u32,
        dx: u32,
        samples: u32,
        channels: u32,
        length: u32,
        channels_last: bool,
        first_channel: u32,
        end_channel: u32,
        statistics: u32,
        weight: u32,
        sums: Option<Vec<u8>>,
        clamp_eps: Option<f64>,
    ) -> Result<(), CallError> {
        let layout = part(samples, channels, length, channels_last, first_channel, end_channel)?;
        let merged = sums.as_deref().map(finish).transpose()?;
        let sums = merged.as_ref().map(|merged| BatchSums { merged, clamp_eps });
        self.arena.lend([dx], |arena, [gradient]| {
            let dy = if dy == dx { None } else { Some(arena.get(dy)?) };
            let (x, statistics, weight) = (arena.get(x)?, arena.get(statistics)?, arena.get_optional(weight)?);
            let gradient = gradient.unwrap_or_default();
            Ok(syncbn_core::backward_input(dy, x, gradient, &layout, statistics, weight, sums)?)
        })
    }
}
