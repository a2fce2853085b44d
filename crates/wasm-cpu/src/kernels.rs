//! The memory of a device and the commands that are complete in themselves.

use core::ops::Range;

use syncbn_core::{Affine, BatchNorm, BatchNormBackward, Format, Gradients, Layout, Numerics, Running};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::arena::{Arena, buffer_bytes};
use crate::error::CallError;

/// One CPU device.
#[wasm_bindgen]
#[derive(Debug)]
pub struct CpuKernels {
    pub(crate) arena: Arena,
}

#[inline(never)]
pub(crate) fn layout(samples: u32, channels: u32, length: u32, channels_last: bool) -> Result<Layout, CallError> {
    let format = if channels_last { Format::ChannelsLast } else { Format::Contiguous };
    Ok(Layout::new(samples as usize, channels as usize, length as usize, format)?)
}

/// The same, of which a step works on some channels: to `end_channel`, or all where that is 0.
#[inline(never)]
pub(crate) fn part(
    samples: u32,
    channels: u32,
    length: u32,
    channels_last: bool,
    first_channel: u32,
    end_channel: u32,
) -> Result<Layout, CallError> {
    let layout = layout(samples, channels, length, channels_last)?;
    Ok(layout.of_channels(range(first_channel, end_channel, layout.channels()))?)
}

/// The channels from `first` to `end`, or to the last of `all` where that is 0.
pub(crate) fn range(first: u32, end: u32, all: usize) -> Range<usize> {
    first as usize..if end == 0 { all } else { end as usize }
}

pub(crate) fn numerics(torch: bool) -> Numerics {
    if torch { Numerics::Torch } else { Numerics::Stable }
}

#[wasm_bindgen]
#[allow(clippy::missing_errors_doc, reason = "every call fails alike: see the crate")]
#[allow(clippy::too_many_arguments, reason = "numbers cross the border without allocation, structs do not")]
impl CpuKernels {
    /// A device without buffers.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new() -> Self {
        Self { arena: Arena::new() }
    }

    /// Bytes of the buffers in use, rounded to their size classes.
    #[wasm_bindgen(getter, js_name = bytesInUse)]
    #[must_use]
    pub fn bytes_in_use(&self) -> f64 {
        self.arena.bytes_in_use()
    }

    /// The most bytes that have been in use.
    #[wasm_bindgen(getter, js_name = bytesPeak)]
    #[must_use]
    pub fn bytes_peak(&self) -> f64 {
        self.arena.bytes_peak()
    }

    /// Bytes of freed buffers kept for reuse.
    #[wasm_bindgen(getter, js_name = bytesPooled)]
    #[must_use]
    pub fn bytes_pooled(&self) -> f64 {
        self.arena.bytes_pooled()
    }

    /// Buffers in use.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn buffers(&self) -> usize {
        self.arena.buffers()
    }

    /// Requests for memory that the pool could not serve, since the beginning.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn allocations(&self) -> usize {
        self.arena.allocations()
    }

    /// Sets the largest number of bytes in use.
    #[wasm_bindgen(setter, js_name = memoryLimit)]
    pub fn set_memory_limit(&mut self, bytes: f64) {
        self.arena.limit_bytes = bytes;
    }

    /// Bytes that a buffer of `length` values takes from the limit, on whichever device; none when no memory is that large.
    #[wasm_bindgen(js_name = bufferBytes)]
    #[must_use]
    pub fn buffer_bytes(&self, length: usize) -> Option<f64> {
        buffer_bytes(length)
    }

    /// A buffer of `length` values, contents undefined.
    pub fn allocate(&mut self, length: usize) -> Result<u32, CallError> {
        Ok(self.arena.allocate(length)?)
    }

    /// Gives a buffer back.
    pub fn release(&mut self, handle: u32) -> Result<(), CallError> {
        Ok(self.arena.release(handle)?)
    }

    /// Where a buffer lies in the memory of the instance, in bytes. It stays there until it is released.
    pub fn address(&self, handle: u32) -> Result<usize, CallError> {
        Ok(self.arena.get(handle)?.as_ptr().addr())
    }

    /// `target[i] = value`.
    pub fn fill(&mut self, target: u32, value: f32) -> Result<(), CallError> {
        self.arena.lend([target], |_, [target]| {
            target.unwrap_or_default().fill(value);
            Ok(())
        })
    }

    /// `target[i] = a[i] + b[i]`; `target` may be `a` or `b`.
    pub fn add(&mut self, a: u32, b: u32, target: u32) -> Result<(), CallError> {
        self.arena.lend([target], |arena, [sum]| {
            let sum = sum.unwrap_or_default();
            match (a == target, b == target) {
                (true, true) => syncbn_core::double(sum),
                (true, false) => syncbn_core::add_in_place(sum, arena.get(b)?)?,
                (false, true) => syncbn_core::add_in_place(sum, arena.get(a)?)?,
                (false, false) => syncbn_core::add(arena.get(a)?, arena.get(b)?, sum)?,
            }
            Ok(())
        })
    }

    /// Rearranges to the other memory format.
    pub fn permute(
        &mut self,
        source: u32,
        target: u32,
        samples: u32,
        channels: u32,
        length: u32,
        channels_last: bool,
    ) -> Result<(), CallError> {
        let layout = layout(samples, channels, length, channels_last)?;
        self.arena.lend([target], |arena, [target]| {
            Ok(syncbn_core::permute(arena.get(source)?, target.unwrap_or_default(), &layout)?)
        })
    }

    /// The whole training forward. Without tracking the four running buffers are 0.
    #[wasm_bindgen(js_name = batchNorm)]
    pub fn batch_norm(
        &mut self,
        x: u32,
        y: u32,
        samples: u32,
        channels: u32,
        length: u32,
        channels_last: bool,
        torch: bool,
        eps: f64,
        weight: u32,
        bias: u32,
        statistics: u32,
        running_mean: u32,
        running_var: u32,
        next_mean: u32,
        next_var: u32,
        momentum: f64,
        correction: u32,
    ) -> Result<(), CallError> {
        let layout = layout(samples, channels, length, channels_last)?;
        let outputs = [y, statistics, next_mean, next_var];
        self.arena.lend(outputs, |arena, [values, statistics, next_mean, next_variance]| {
            let running = match (next_mean, next_variance) {
                (Some(next_mean), Some(next_variance)) => {
                    let (mean, variance) = (arena.get(running_mean)?, arena.get(running_var)?);
                    Some(Running { mean, variance, next_mean, next_variance, momentum, correction })
                }
                _ => None,
            };
            let affine = Affine { weight: arena.get_optional(weight)?, bias: arena.get_optional(bias)? };
            let args = BatchNorm { layout, numerics: numerics(torch), eps, affine, running };
            let x = if x == y { None } else { Some(arena.get(x)?) };
            Ok(syncbn_core::batch_norm(args, x, values.unwrap_or_default(), statistics.unwrap_or_default())?)
        })
    }

    /// The whole backward. `dx`, `dweight` and `dbias` may be 0: not wanted.
    #[wasm_bindgen(js_name = batchNormBackward)]
    pub fn batch_norm_backward(
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
        dweight: u32,
        dbias: u32,
        batch_statistics: bool,
    ) -> Result<(), CallError> {
        let layout = layout(samples, channels, length, channels_last)?;
        self.arena.lend([dx, dweight, dbias], |arena, [gradient, dweight, dbias]| {
            let (statistics, weight) = (arena.get(statistics)?, arena.get_optional(weight)?);
            let args = BatchNormBackward { layout, statistics, weight, batch_statistics };
            let dy = if dy == dx { None } else { Some(arena.get(dy)?) };
            let gradients = Gradients { dx: gradient, dweight, dbias };
            Ok(syncbn_core::batch_norm_backward(&args, dy, arena.get(x)?, gradients)?)
        })
    }
}

impl Default for CpuKernels {
    fn default() -> Self {
        Self::new()
    }
}
