//! The steps of a batch that is spread over several devices.

use js_sys::{Promise, Uint8Array};
use syncbn_gpu::{BackwardInput, GpuError, Guard, Normalize, Running};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::future_to_promise;

use crate::error::CallError;
use crate::kernels::{GpuKernels, layout};

/// A sample number of JavaScript, where integers are exact up to 2^53.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates; NaN becomes 0")]
fn sample(number: f64) -> u64 {
    number as u64
}

fn promise_of(partial: impl Future<Output = Result<Vec<u8>, GpuError>> + 'static) -> Promise {
    future_to_promise(async { Ok(Uint8Array::from(&*partial.await.map_err(CallError::from)?).into()) })
}

#[wasm_bindgen]
#[allow(clippy::missing_errors_doc, reason = "every call fails alike: see the crate")]
#[allow(clippy::too_many_arguments, reason = "numbers cross the border without allocation, structs do not")]
impl GpuKernels {
    /// Partial moments of a shard.
    #[wasm_bindgen(unchecked_return_type = "Promise<Uint8Array<ArrayBuffer>>")]
    pub fn moments(
        &mut self,
        x: u32,
        samples: u32,
        channels: u32,
        length: u32,
        channels_last: bool,
        first_sample: f64,
    ) -> Result<Promise, CallError> {
        let layout = layout(samples, channels, length, channels_last)?;
        Ok(promise_of(self.gpu.moments(x, &layout, sample(first_sample))?))
    }

    /// Partial backward sums of a shard.
    #[wasm_bindgen(js_name = backwardReduce, unchecked_return_type = "Promise<Uint8Array<ArrayBuffer>>")]
    pub fn backward_reduce(
        &mut self,
        dy: u32,
        x: u32,
        statistics: u32,
        samples: u32,
        channels: u32,
        length: u32,
        channels_last: bool,
        first_sample: f64,
    ) -> Result<Promise, CallError> {
        let layout = layout(samples, channels, length, channels_last)?;
        Ok(promise_of(self.gpu.backward_reduce(dy, x, statistics, &layout, sample(first_sample))?))
    }

    /// Checks that bytes are partials of one kind that cover adjacent ranges, end to end.
    #[wasm_bindgen(js_name = checkPartials)]
    pub fn check_partials(bytes: &[u8]) -> Result<(), CallError> {
        Ok(syncbn_gpu::check_partials(bytes)?)
    }

    /// Statistics of a whole batch from its partials, end to end in order of samples.
    pub fn finalize(&mut self, merged: &[u8], eps: f64, clamp: bool, statistics: u32) -> Result<(), CallError> {
        Ok(self.gpu.finalize(merged, Guard { eps, clamps: clamp }, statistics)?)
    }

    /// The running statistics after a batch.
    #[wasm_bindgen(js_name = updateRunning)]
    pub fn update_running(
        &mut self,
        merged: &[u8],
        running_mean: u32,
        running_var: u32,
        next_mean: u32,
        next_var: u32,
        momentum: f64,
        correction: u32,
    ) -> Result<(), CallError> {
        let running = Running {
            mean: running_mean,
            variance: running_var,
            next_mean,
            next_variance: next_var,
            momentum,
            correction,
        };
        Ok(self.gpu.update_running(merged, &running)?)
    }

    /// Statistics from the running ones, for evaluation.
    #[wasm_bindgen(js_name = evaluationStatistics)]
    pub fn evaluation_statistics(
        &mut self,
        running_mean: u32,
        running_var: u32,
        eps: f64,
        statistics: u32,
    ) -> Result<(), CallError> {
        Ok(self.gpu.evaluation_statistics(running_mean, running_var, eps, statistics)?)
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
        statistics: u32,
        weight: u32,
        bias: u32,
    ) -> Result<(), CallError> {
        let layout = layout(samples, channels, length, channels_last)?;
        Ok(self.gpu.normalize(&Normalize { x, y, layout, statistics, weight, bias })?)
    }

    /// Gradients of weight and bias from partial sums, end to end; each may be 0: not wanted.
    #[wasm_bindgen(js_name = backwardParameters)]
    pub fn backward_parameters(
        &mut self,
        sums: &[u8],
        statistics: u32,
        dweight: u32,
        dbias: u32,
    ) -> Result<(), CallError> {
        Ok(self.gpu.backward_parameters(sums, statistics, dweight, dbias)?)
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
        statistics: u32,
        weight: u32,
        sums: Option<Vec<u8>>,
        clamp_eps: Option<f64>,
    ) -> Result<(), CallError> {
        let layout = layout(samples, channels, length, channels_last)?;
        let args = BackwardInput { x, dy, dx, layout, statistics, weight };
        Ok(self.gpu.backward_input(&args, sums.as_deref(), clamp_eps)?)
    }
}
