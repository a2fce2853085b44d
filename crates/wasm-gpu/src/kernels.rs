//! One WebGPU device as JavaScript sees it: its memory, its queue, and a call that runs any command.

use js_sys::{Float32Array, Promise, Uint8Array};
use syncbn_commands::{Command, Reduction, Words};
use syncbn_core::{Format, Layout};
use syncbn_gpu::{Gpu, Options, Rows};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::future_to_promise;

use crate::commands::{reduce, run};
use crate::error::CallError;

/// One WebGPU device.
#[wasm_bindgen]
#[derive(Debug)]
pub struct GpuKernels {
    gpu: Gpu,
    /// What is known of the device if it is somebody else's.
    #[cfg(target_arch = "wasm32")]
    adopted: Option<crate::adopt::AdoptedDevice>,
}

/// Of bytes in JavaScript, where infinity is no limit.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates; NaN becomes 0")]
fn bytes(number: f64) -> u64 {
    number as u64
}

#[allow(clippy::cast_precision_loss, reason = "bytes and commands are below 2^53")]
fn number(count: u64) -> f64 {
    count as f64
}

#[wasm_bindgen]
#[allow(clippy::missing_errors_doc, reason = "every call fails alike: see the crate")]
#[allow(clippy::too_many_arguments, reason = "numbers cross the border without allocation, structs do not")]
impl GpuKernels {
    /// A device of an adapter of its own. `power_preference` is WebGPU's, or empty; `largest_buffer` in bytes, 0: whatever the
    /// adapter grants.
    pub async fn request(
        label: String,
        power_preference: String,
        fallback: bool,
        largest_buffer: f64,
    ) -> Result<GpuKernels, CallError> {
        let power_preference = match &*power_preference {
            "low-power" => wgpu::PowerPreference::LowPower,
            "high-performance" => wgpu::PowerPreference::HighPerformance,
            _ => wgpu::PowerPreference::None,
        };
        let options = Options { label, power_preference, fallback, largest_buffer: bytes(largest_buffer) };
        let gpu = Gpu::request(&syncbn_gpu::instance(), &options).await?;
        Ok(Self {
            gpu,
            #[cfg(target_arch = "wasm32")]
            adopted: None,
        })
    }

    /// A device on a `GPUDevice` that somebody else owns.
    #[cfg(target_arch = "wasm32")]
    pub async fn adopt(
        #[wasm_bindgen(unchecked_param_type = "GPUDevice")] device: JsValue,
    ) -> Result<GpuKernels, CallError> {
        let (gpu, adopted) = crate::adopt::AdoptedDevice::open(device).await?;
        Ok(Self { gpu, adopted: Some(adopted) })
    }

    /// Destroys the device, or of one that somebody else owns what this library has taken from it. Pending reads reject.
    pub fn destroy(&mut self) {
        #[cfg(target_arch = "wasm32")]
        if let Some(adopted) = &self.adopted {
            adopted.leave();
            self.gpu.release_all();
            return;
        }
        self.gpu.destroy();
    }

    /// What the platform calls the adapter.
    #[wasm_bindgen(getter, js_name = adapterName)]
    #[must_use]
    pub fn adapter_name(&self) -> String {
        self.gpu.description().name.clone()
    }

    /// Whether the adapter computes on the CPU.
    #[wasm_bindgen(getter, js_name = isSoftware)]
    #[must_use]
    pub fn is_software(&self) -> bool {
        self.gpu.description().is_software
    }

    /// The platform's device.
    #[cfg(target_arch = "wasm32")]
    #[wasm_bindgen(getter, js_name = gpuDevice, unchecked_return_type = "GPUDevice")]
    #[must_use]
    pub fn gpu_device(&self) -> JsValue {
        if let Some(adopted) = &self.adopted {
            return adopted.device.clone();
        }
        self.gpu.device().as_webgpu().map_or(JsValue::NULL, |device| device.into())
    }

    /// Bytes of the buffers in use, rounded to their size classes.
    #[wasm_bindgen(getter, js_name = bytesInUse)]
    #[must_use]
    pub fn bytes_in_use(&self) -> f64 {
        number(self.gpu.usage().bytes_in_use)
    }

    /// The most bytes that have been in use.
    #[wasm_bindgen(getter, js_name = bytesPeak)]
    #[must_use]
    pub fn bytes_peak(&self) -> f64 {
        number(self.gpu.usage().bytes_peak)
    }

    /// Bytes of freed buffers kept for reuse.
    #[wasm_bindgen(getter, js_name = bytesPooled)]
    #[must_use]
    pub fn bytes_pooled(&self) -> f64 {
        number(self.gpu.usage().bytes_pooled)
    }

    /// Buffers in use.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn buffers(&self) -> usize {
        self.gpu.usage().buffers
    }

    /// Buffers taken from the platform since the beginning.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn allocations(&self) -> usize {
        self.gpu.usage().allocations
    }

    /// Pipelines compiled since the beginning.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn pipelines(&self) -> usize {
        self.gpu.pipelines()
    }

    /// Kernels started since the counters were reset.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn dispatches(&self) -> f64 {
        number(self.gpu.counters().dispatches)
    }

    /// Command buffers submitted since the counters were reset.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn submits(&self) -> f64 {
        number(self.gpu.counters().submits)
    }

    /// Bytes that kernels have read since the counters were reset.
    #[wasm_bindgen(getter, js_name = bytesRead)]
    #[must_use]
    pub fn bytes_read(&self) -> f64 {
        number(self.gpu.counters().bytes_read)
    }

    /// Bytes that kernels have written since the counters were reset.
    #[wasm_bindgen(getter, js_name = bytesWritten)]
    #[must_use]
    pub fn bytes_written(&self) -> f64 {
        number(self.gpu.counters().bytes_written)
    }

    /// Sets the counters to 0.
    #[wasm_bindgen(js_name = resetCounters)]
    pub fn reset_counters(&mut self) {
        self.gpu.reset_counters();
    }

    /// Largest number of bytes in use.
    #[wasm_bindgen(getter, js_name = memoryLimit)]
    #[must_use]
    pub fn memory_limit(&self) -> f64 {
        match self.gpu.memory_limit() {
            u64::MAX => f64::INFINITY,
            bytes => number(bytes),
        }
    }

    /// Sets the largest number of bytes in use.
    #[wasm_bindgen(setter, js_name = memoryLimit)]
    pub fn set_memory_limit(&mut self, limit: f64) {
        self.gpu.set_memory_limit(bytes(limit));
    }

    /// Has commands wait for pipelines that are not compiled yet, until `compileNext` has compiled them.
    #[wasm_bindgen(js_name = compileLater)]
    pub fn compile_later(&mut self) {
        self.gpu.compile_later();
    }

    /// Whether commands wait for pipelines.
    #[wasm_bindgen(getter, js_name = isWaiting)]
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.gpu.is_waiting()
    }

    /// Compiles at most one pipeline that commands wait for, and submits the commands that then wait for none. Returns whether others
    /// still wait.
    #[wasm_bindgen(js_name = compileNext)]
    pub fn compile_next(&mut self) -> bool {
        self.gpu.compile_next()
    }

    /// Compiles the pipelines that the steps of such a batch use, or has `compileNext` do so.
    #[wasm_bindgen(js_name = warmUp)]
    pub fn warm_up(&mut self, channels: u32, length: u32, channels_last: bool) -> Result<(), CallError> {
        let format = if channels_last { Format::ChannelsLast } else { Format::Contiguous };
        self.gpu.warm_up(&Layout::new(0, channels as usize, length as usize, format)?);
        Ok(())
    }

    /// A buffer of `length` values, contents undefined.
    pub fn allocate(&mut self, length: usize) -> Result<u32, CallError> {
        Ok(self.gpu.allocate(length)?)
    }

    /// A handle for a `GPUBuffer` of this device that somebody else owns; it has at least `length` values, a size that is a
    /// multiple of 16, and the usages `STORAGE`, `COPY_SRC` and `COPY_DST`.
    #[cfg(target_arch = "wasm32")]
    #[wasm_bindgen(js_name = adoptBuffer)]
    pub fn adopt_buffer(
        &mut self,
        adopter: &crate::adopt::BufferAdopter,
        #[wasm_bindgen(unchecked_param_type = "GPUBuffer")] buffer: &JsValue,
        size: f64,
        usage: u32,
        length: usize,
    ) -> u32 {
        self.gpu.adopt_buffer(adopter.adopt(buffer, bytes(size), usage), length)
    }

    /// The platform's buffer behind a handle, for others to use; it may be longer than was asked for.
    #[cfg(target_arch = "wasm32")]
    #[wasm_bindgen(js_name = gpuBuffer, unchecked_return_type = "GPUBuffer")]
    pub fn gpu_buffer(&mut self, handle: u32) -> Result<JsValue, CallError> {
        Ok(self.gpu.share(handle)?.as_webgpu().map_or(JsValue::NULL, |buffer| buffer.into()))
    }

    /// The platform's buffer behind a handle, for a write by the queue that follows at once.
    #[cfg(target_arch = "wasm32")]
    #[wasm_bindgen(js_name = writableBuffer, unchecked_return_type = "GPUBuffer")]
    pub fn writable_buffer(&mut self, handle: u32) -> Result<JsValue, CallError> {
        Ok(self.gpu.buffer_to_write(handle)?.as_webgpu().map_or(JsValue::NULL, |buffer| buffer.into()))
    }

    /// Holds commands until `flush`, so that one submit takes many. Reads, writes and shared buffers do not wait for it.
    pub fn hold(&mut self) {
        self.gpu.hold();
    }

    /// Submits what has been given, also what waits for pipelines.
    pub fn submit(&mut self) {
        self.gpu.submit();
    }

    /// Submits what is held, and holds no more. What waits for pipelines waits on.
    pub fn flush(&mut self) {
        self.gpu.flush();
    }

    /// Begins a scope, which `endScope` ends at once after a command: what the platform refuses of it is told by that alone.
    #[wasm_bindgen(js_name = beginScope)]
    pub fn begin_scope(&mut self) {
        self.gpu.begin_scope();
    }

    /// Resolves once the platform has accepted the commands since `beginScope`.
    #[wasm_bindgen(js_name = endScope, unchecked_return_type = "Promise<void>")]
    pub fn end_scope(&mut self) -> Promise {
        let confirmation = self.gpu.end_scope();
        future_to_promise(async { Ok(confirmation.await.map(|()| JsValue::UNDEFINED).map_err(CallError::from)?) })
    }

    /// Gives a buffer back; one that somebody else owns is forgotten.
    pub fn release(&mut self, handle: u32) -> Result<(), CallError> {
        Ok(self.gpu.release(handle)?)
    }

    /// Writes to a buffer.
    pub fn write(&mut self, handle: u32, data: &[f32]) -> Result<(), CallError> {
        Ok(self.gpu.write(handle, data)?)
    }

    /// A copy of what a buffer holds now.
    #[wasm_bindgen(unchecked_return_type = "Promise<Float32Array<ArrayBuffer>>")]
    pub fn read(&mut self, handle: u32) -> Result<Promise, CallError> {
        let reading = self.gpu.read(handle)?;
        Ok(future_to_promise(async { Ok(Float32Array::from(&*reading.await.map_err(CallError::from)?).into()) }))
    }

    /// Resolves when all commands given so far are done.
    #[wasm_bindgen(unchecked_return_type = "Promise<void>")]
    pub fn settled(&mut self) -> Result<Promise, CallError> {
        let settling = self.gpu.settled()?;
        Ok(future_to_promise(async { Ok(settling.await.map(|()| JsValue::UNDEFINED).map_err(CallError::from)?) }))
    }

    /// Copies rows between buffers: row i begins at offset + i · stride.
    #[wasm_bindgen(js_name = copyRows)]
    pub fn copy_rows(
        &mut self,
        source: u32,
        source_offset: usize,
        source_stride: usize,
        target: u32,
        target_offset: usize,
        target_stride: usize,
        row_length: usize,
        rows: usize,
    ) -> Result<(), CallError> {
        let source = Rows { buffer: source, offset: source_offset, stride: source_stride };
        let target = Rows { buffer: target, offset: target_offset, stride: target_stride };
        Ok(self.gpu.copy_rows(source, target, row_length, rows)?)
    }

    /// Runs a command. `number`, `words` and `bytes` are those of `crates/commands`.
    pub fn run(&mut self, number: u32, words: &[f64], bytes: &[u8]) -> Result<(), CallError> {
        run(&mut self.gpu, Command::decode(number, &mut Words::new(words, bytes))?)
    }

    /// Runs a reduction. Resolves with the bytes of its partial.
    #[wasm_bindgen(unchecked_return_type = "Promise<Uint8Array<ArrayBuffer>>")]
    pub fn reduce(&mut self, number: u32, words: &[f64], bytes: &[u8]) -> Result<Promise, CallError> {
        let partial = reduce(&mut self.gpu, Reduction::decode(number, &mut Words::new(words, bytes))?)?;
        Ok(future_to_promise(async { Ok(Uint8Array::from(&*partial.await.map_err(CallError::from)?).into()) }))
    }

    /// Checks that bytes are partials of one kind that cover adjacent ranges, end to end.
    #[wasm_bindgen(js_name = checkPartials)]
    pub fn check_partials(bytes: &[u8]) -> Result<(), CallError> {
        Ok(syncbn_gpu::check_partials(bytes)?)
    }
}
