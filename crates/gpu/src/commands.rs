//! Kernels on their way to the queue: those of a command are submitted at once, and while commands are held, those of all.

use crate::error::GpuError;
use crate::gpu::Gpu;
use crate::params::{Params, STRIDE};
use crate::pipelines::Kernel;
use crate::read_back::ReadBack;

/// Kernels of one submit: fewer, and submits cost more than kernels; more, and the device waits for its first.
const MOST_DISPATCHES: usize = 24;
/// Outputs of one kernel that may be absent; each has a place of its own, since outputs must not overlap.
const MOST_BINDINGS: usize = 8;
/// WebGPU's largest number of workgroups in one dimension.
const MOST_WORKGROUPS: u64 = 65535;

/// What a kernel reads or writes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Binding {
    Buffer(wgpu::Buffer),
    AbsentInput,
    AbsentOutput,
}

impl Binding {
    pub(crate) fn input(buffer: Option<wgpu::Buffer>) -> Self {
        buffer.map_or(Self::AbsentInput, Self::Buffer)
    }

    pub(crate) fn output(buffer: Option<wgpu::Buffer>) -> Self {
        buffer.map_or(Self::AbsentOutput, Self::Buffer)
    }
}

/// One start of a kernel.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub(crate) kernel: Kernel,
    /// The words of its `Params`.
    pub(crate) params: Vec<u32>,
    /// From binding 1 on.
    pub(crate) bindings: Vec<Binding>,
    pub(crate) workgroups: u64,
    pub(crate) bytes_read: u64,
    pub(crate) bytes_written: u64,
}

/// A piece of a buffer, in bytes.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) buffer: wgpu::Buffer,
    pub(crate) begin: u64,
    pub(crate) bytes: u64,
}

/// Buffers that every command shares.
#[derive(Debug)]
pub(crate) struct Shared {
    params: Params,
    absent_input: wgpu::Buffer,
    absent_output: wgpu::Buffer,
}

impl Shared {
    pub(crate) fn new(device: &wgpu::Device) -> Self {
        let buffer = |size: usize| {
            let (size, usage) = (size as u64, wgpu::BufferUsages::STORAGE);
            device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
        };
        Self {
            params: Params::new(device),
            absent_input: buffer(STRIDE),
            absent_output: buffer(STRIDE * MOST_BINDINGS),
        }
    }

    pub(crate) fn destroy(&self) {
        self.params.destroy();
        [&self.absent_input, &self.absent_output].into_iter().for_each(wgpu::Buffer::destroy);
    }

    fn resource<'a>(&'a self, binding: &'a Binding, place: usize) -> wgpu::BufferBinding<'a> {
        match binding {
            Binding::Buffer(buffer) => buffer.as_entire_buffer_binding(),
            Binding::AbsentInput => self.absent_input.as_entire_buffer_binding(),
            Binding::AbsentOutput => wgpu::BufferBinding {
                buffer: &self.absent_output,
                offset: (place * STRIDE) as u64,
                size: wgpu::BufferSize::new(STRIDE as u64),
            },
        }
    }

    fn bind_group(
        &self,
        device: &wgpu::Device,
        pipeline: &wgpu::ComputePipeline,
        dispatch: &Dispatch,
        slot: usize,
    ) -> wgpu::BindGroup {
        let params = wgpu::BindingResource::Buffer(self.params.binding(slot, dispatch.params.len()));
        let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: params }];
        for ((place, binding), number) in dispatch.bindings.iter().enumerate().zip(1..) {
            let resource = wgpu::BindingResource::Buffer(self.resource(binding, place));
            entries.push(wgpu::BindGroupEntry { binding: number, resource });
        }
        let layout = &pipeline.get_bind_group_layout(0);
        device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
    }
}

/// What has been given and not been submitted.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// The pass that the encoder is in: one for all kernels, until there is something else to encode.
    pass: Option<wgpu::ComputePass<'static>>,
    encoder: Option<wgpu::CommandEncoder>,
    dispatches: usize,
    is_held: bool,
}

impl Gpu {
    /// Holds commands from now on until [`Gpu::flush`], so that one submit takes many. What is read or written from outside is
    /// preceded by a submit, and so is every 25th kernel. As long as a buffer is shared with others, nothing is held.
    pub fn hold(&mut self) {
        self.pending.is_held = true;
    }

    /// Submits what is held, and holds no more.
    pub fn flush(&mut self) {
        self.pending.is_held = false;
        self.submit();
    }

    /// Submits kernels, in order, or holds them.
    pub(crate) fn run(&mut self, dispatches: &[Dispatch]) -> Result<(), GpuError> {
        self.run_and_read(dispatches, &[]).map(drop)
    }

    /// Submits kernels, in order, and begins to read back what they leave in some pieces of buffers.
    pub(crate) fn run_and_read(&mut self, dispatches: &[Dispatch], pieces: &[Piece]) -> Result<ReadBack, GpuError> {
        let known = self.context.failures.check()?;
        for dispatches in dispatches.chunks(MOST_DISPATCHES) {
            if self.pending.dispatches + dispatches.len() > MOST_DISPATCHES {
                self.submit();
            }
            if self.shared.params.is_short_of(dispatches.len()) {
                self.submit();
                self.shared.params.forget();
            }
            self.encode(dispatches);
        }
        if pieces.iter().all(|piece| piece.bytes == 0) {
            if !self.pending.is_held || self.memory.is_shared() {
                self.submit();
            }
            return Ok(ReadBack::empty(&self.context, known));
        }
        let mut encoder = self.take_encoder();
        let copy = self.staging.copy(&self.context, &mut encoder, pieces);
        self.submit_encoder(encoder);
        Ok(copy.read(&self.context, known))
    }

    /// Submits what is held.
    pub(crate) fn submit(&mut self) {
        if self.pending.encoder.is_some() {
            let encoder = self.take_encoder();
            self.submit_encoder(encoder);
        }
    }

    fn take_encoder(&mut self) -> wgpu::CommandEncoder {
        self.pending.pass = None;
        let descriptor = wgpu::CommandEncoderDescriptor::default();
        self.pending.encoder.take().unwrap_or_else(|| self.context.device.create_command_encoder(&descriptor))
    }

    fn take_pass(&mut self) -> wgpu::ComputePass<'static> {
        if let Some(pass) = self.pending.pass.take() {
            return pass;
        }
        let mut encoder = self.take_encoder();
        let pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()).forget_lifetime();
        self.pending.encoder = Some(encoder);
        pass
    }

    fn submit_encoder(&mut self, encoder: wgpu::CommandEncoder) {
        self.pending.dispatches = 0;
        self.shared.params.write(&self.context.queue);
        self.context.queue.submit([encoder.finish()]);
        self.memory.submitted();
        self.counters.submits += 1;
    }

    fn encode(&mut self, dispatches: &[Dispatch]) {
        self.forget_bind_groups();
        let mut pass = self.take_pass();
        for dispatch in dispatches {
            self.encode_dispatch(&mut pass, dispatch);
        }
        self.pending.pass = Some(pass);
        self.memory.encoded();
    }

    fn encode_dispatch(&mut self, pass: &mut wgpu::ComputePass<'_>, dispatch: &Dispatch) {
        let device = &self.context.device;
        let pipeline = self.pipelines.get(device, &dispatch.kernel);
        let slot = self.shared.params.slot_of(&dispatch.params);
        let shared = &self.shared;
        let bind_group = self.bind_groups.get(dispatch, slot, || shared.bind_group(device, pipeline, dispatch, slot));
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, bind_group, &[]);
        let [x, y] = grid(dispatch.workgroups);
        pass.dispatch_workgroups(x, y, 1);
        self.pending.dispatches += 1;
        self.counters.dispatches += 1;
        self.counters.bytes_read += dispatch.bytes_read;
        self.counters.bytes_written += dispatch.bytes_written;
    }
}

/// Workgroups in two dimensions, as nearly as many as are needed.
#[allow(clippy::cast_possible_truncation, reason = "no batch in memory needs 65535² workgroups")]
fn grid(workgroups: u64) -> [u32; 2] {
    let y = workgroups.div_ceil(MOST_WORKGROUPS).max(1);
    [workgroups.div_ceil(y) as u32, y as u32]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_has_at_least_the_workgroups_asked_for() {
        for workgroups in [0, 1, 65535, 65536, 131_071, 10_000_000] {
            let [x, y] = grid(workgroups).map(u64::from);
            assert!(x * y >= workgroups && x * y < workgroups + y && x <= 65535, "{workgroups}: {x} × {y}");
        }
    }
}
