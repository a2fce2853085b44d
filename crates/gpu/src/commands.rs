//! Kernels on their way to the queue: those of a command are submitted at once, and while commands are held, those of all.

use crate::error::GpuError;
use crate::gpu::Gpu;
use crate::pipelines::{Compiled, Kernel};
use crate::read_back::ReadBack;

/// Bytes from one kernel's parameters to those of the next: what WebGPU guarantees as an offset.
const PARAMS_STRIDE: usize = 256;
/// Kernels of one submit.
const MOST_DISPATCHES: usize = 64;
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
    params: wgpu::Buffer,
    absent_input: wgpu::Buffer,
    absent_output: wgpu::Buffer,
}

impl Shared {
    pub(crate) fn new(device: &wgpu::Device) -> Self {
        let buffer = |slots: usize, usage| {
            let size = (PARAMS_STRIDE * slots) as u64;
            device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
        };
        Self {
            params: buffer(MOST_DISPATCHES, wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST),
            absent_input: buffer(1, wgpu::BufferUsages::STORAGE),
            absent_output: buffer(MOST_BINDINGS, wgpu::BufferUsages::STORAGE),
        }
    }

    pub(crate) fn destroy(&self) {
        [&self.params, &self.absent_input, &self.absent_output].into_iter().for_each(wgpu::Buffer::destroy);
    }

    fn resource<'a>(&'a self, binding: &'a Binding, slot: usize) -> wgpu::BufferBinding<'a> {
        match binding {
            Binding::Buffer(buffer) => buffer.as_entire_buffer_binding(),
            Binding::AbsentInput => self.absent_input.as_entire_buffer_binding(),
            Binding::AbsentOutput => piece(&self.absent_output, slot, PARAMS_STRIDE),
        }
    }
}

/// The first bytes of a slot.
fn piece(buffer: &wgpu::Buffer, slot: usize, bytes: usize) -> wgpu::BufferBinding<'_> {
    let offset = (slot * PARAMS_STRIDE) as u64;
    wgpu::BufferBinding { buffer, offset, size: wgpu::BufferSize::new(bytes as u64) }
}

/// What has been given and not been submitted.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    encoder: Option<wgpu::CommandEncoder>,
    /// A slot of `Shared::params` for each kernel.
    params: Vec<u8>,
    is_held: bool,
}

impl Gpu {
    /// Holds commands from now on until [`Gpu::flush`], so that one submit takes many. What is read or written from outside is
    /// preceded by a submit, and so is every 65th kernel. As long as a buffer is shared with others, nothing is held.
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
            if self.pending.params.len() + PARAMS_STRIDE * dispatches.len() > PARAMS_STRIDE * MOST_DISPATCHES {
                self.submit();
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
        let descriptor = wgpu::CommandEncoderDescriptor::default();
        self.pending.encoder.take().unwrap_or_else(|| self.context.device.create_command_encoder(&descriptor))
    }

    fn submit_encoder(&mut self, encoder: wgpu::CommandEncoder) {
        if !self.pending.params.is_empty() {
            // Takes effect between the submits before and this one, as everything in the queue.
            self.context.queue.write_buffer(&self.shared.params, 0, &self.pending.params);
            self.pending.params.clear();
        }
        self.context.queue.submit([encoder.finish()]);
        self.memory.submitted();
        self.counters.submits += 1;
    }

    fn encode(&mut self, dispatches: &[Dispatch]) {
        if self.memory.take_has_destroyed() {
            self.pipelines.forget_bind_groups();
        } else {
            self.pipelines.forget_bind_groups_if_many();
        }
        let mut encoder = self.take_encoder();
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for dispatch in dispatches {
            self.encode_dispatch(&mut pass, dispatch);
        }
        drop(pass);
        self.pending.encoder = Some(encoder);
        self.memory.encoded();
    }

    fn encode_dispatch(&mut self, pass: &mut wgpu::ComputePass<'_>, dispatch: &Dispatch) {
        let slot = self.pending.params.len() / PARAMS_STRIDE;
        self.pending.params.extend(dispatch.params.iter().flat_map(|word| word.to_le_bytes()));
        self.pending.params.resize(PARAMS_STRIDE * (slot + 1), 0);
        let device = &self.context.device;
        let shared = &self.shared;
        let Compiled { pipeline, layout, bind_groups } = self.pipelines.get(device, &dispatch.kernel);
        let bind_group = bind_groups.entry((slot, dispatch.bindings.clone())).or_insert_with(|| {
            let bytes = 4 * dispatch.params.len().next_multiple_of(4);
            let params = wgpu::BindingResource::Buffer(piece(&shared.params, slot, bytes));
            let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: params }];
            for ((slot, binding), number) in dispatch.bindings.iter().enumerate().zip(1..) {
                let resource = wgpu::BindingResource::Buffer(shared.resource(binding, slot));
                entries.push(wgpu::BindGroupEntry { binding: number, resource });
            }
            device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
        });
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, &*bind_group, &[]);
        let [x, y] = grid(dispatch.workgroups);
        pass.dispatch_workgroups(x, y, 1);
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
