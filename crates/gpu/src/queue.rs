//! Kernels on their way to the queue: those of a command are submitted at once, and while commands are held, those of all. Commands
//! may also wait until their pipelines are compiled; then all that are given later wait behind them, in order.

use std::future::Future;

use crate::dispatch::{Dispatch, Piece};
use crate::error::GpuError;
use crate::gpu::Gpu;
use crate::pending::Waiting;
use crate::pipelines::Kernel;
use crate::read_back::{Copied, ReadBack};
use crate::scopes::Confirmation;

/// Kernels of one submit: fewer, and submits cost more than kernels; more, and the device waits for its first.
const MOST_DISPATCHES: usize = 24;
/// WebGPU's largest number of workgroups in one dimension.
const MOST_WORKGROUPS: u64 = 65535;

impl Gpu {
    /// Has commands wait for pipelines that are not compiled yet, until [`Gpu::compile_next`] has compiled them, so that somebody else
    /// has a turn between two. What cannot wait, such as handing out a buffer, compiles them at once.
    pub fn compile_later(&mut self) {
        self.pending.compiles_later = true;
    }

    /// Whether commands wait for pipelines.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.pending.waiting.is_empty()
    }

    /// Compiles at most one pipeline that commands wait for, and submits the commands that then wait for none. Returns whether others
    /// still wait.
    pub fn compile_next(&mut self) -> bool {
        let mut has_compiled = false;
        while let Some(first) = self.pending.waiting.front() {
            if let Some(kernel) = first.missing(&self.pipelines) {
                if has_compiled {
                    break;
                }
                self.pipelines.get(&self.context.device, &kernel);
                has_compiled = true;
            } else if let Some(command) = self.pending.waiting.pop_front() {
                self.carry_out(command);
            }
        }
        self.submit_encoded();
        self.is_waiting()
    }

    /// Begins a scope. What the platform refuses of the commands until [`Gpu::end_scope`], which follows at once, is told by that
    /// alone.
    pub fn begin_scope(&mut self) {
        self.pending.scope.get_or_insert_default();
    }

    /// Ends a scope and submits its commands. The future resolves once the platform has accepted them.
    pub fn end_scope(&mut self) -> impl Future<Output = Result<(), GpuError>> + use<> {
        let commands = self.pending.scope.take().unwrap_or_default();
        let (verdict, confirmation) = Confirmation::promised(&self.context);
        let command = Waiting::Scope(commands, verdict);
        if self.is_waiting() || (self.pending.compiles_later && command.missing(&self.pipelines).is_some()) {
            self.wait(command);
        } else {
            self.carry_out(command);
        }
        confirmation
    }

    /// Compiles pipelines, or has them compiled later.
    pub(crate) fn compile(&mut self, kernels: Vec<Kernel>) {
        if self.pending.compiles_later {
            self.wait(Waiting::WarmUp(kernels));
        } else {
            for kernel in &kernels {
                self.pipelines.get(&self.context.device, kernel);
            }
        }
    }

    /// Writes to a buffer after all commands so far.
    pub(crate) fn write_in_order(&mut self, buffer: wgpu::Buffer, bytes: Vec<u8>) {
        if self.is_waiting() || self.pending.scope.is_some() {
            self.wait(Waiting::Write(buffer, bytes));
        } else {
            self.submit_encoded();
            self.context.queue.write_buffer(&buffer, 0, &bytes);
        }
    }

    fn must_wait(&self, dispatches: &[Dispatch]) -> bool {
        let is_missing = |dispatch: &Dispatch| !self.pipelines.has(&dispatch.kernel);
        self.is_waiting()
            || self.pending.scope.is_some()
            || (self.pending.compiles_later && dispatches.iter().any(is_missing))
    }

    fn wait(&mut self, command: Waiting) {
        self.submit_encoded();
        match &mut self.pending.scope {
            Some(commands) => commands.push(command),
            None => self.pending.waiting.push_back(command),
        }
        self.memory.encoded();
    }

    fn carry_out(&mut self, command: Waiting) {
        match command {
            Waiting::WarmUp(_) => {}
            Waiting::Kernels(dispatches) => self.encode_all(&dispatches),
            Waiting::Read(dispatches, pieces, promise) => {
                self.encode_all(&dispatches);
                promise.keep(self.submit_and_copy(&pieces).map());
            }
            Waiting::Write(buffer, bytes) => {
                self.submit_encoded();
                self.context.queue.write_buffer(&buffer, 0, &bytes);
            }
            Waiting::Scope(commands, verdict) => {
                self.submit_encoded();
                let scope = self.context.device.push_error_scope(wgpu::ErrorFilter::Validation);
                for command in commands {
                    self.carry_out(command);
                }
                self.submit_encoded();
                verdict.come(Box::pin(scope.pop()));
            }
        }
    }

    /// Holds commands from now on until [`Gpu::flush`], so that one submit takes many. What is read or written from outside is
    /// preceded by a submit, and so is every 25th kernel. As long as a buffer is shared with others, nothing is held.
    pub fn hold(&mut self) {
        self.pending.is_held = true;
    }

    /// Submits what is held, and holds no more. What waits for pipelines waits on.
    pub fn flush(&mut self) {
        self.pending.is_held = false;
        self.submit_encoded();
    }

    /// Submits kernels, in order, or holds them.
    pub(crate) fn run(&mut self, dispatches: &[Dispatch]) -> Result<(), GpuError> {
        self.run_and_read(dispatches, &[]).map(drop)
    }

    /// Submits kernels, in order, and begins to read back what they leave in some pieces of buffers.
    pub(crate) fn run_and_read(&mut self, dispatches: &[Dispatch], pieces: &[Piece]) -> Result<ReadBack, GpuError> {
        let known = self.context.failures.check()?;
        let reads = pieces.iter().any(|piece| piece.bytes > 0);
        if self.must_wait(dispatches) {
            return Ok(if reads {
                let (promise, reading) = ReadBack::promised(&self.context, known);
                self.wait(Waiting::Read(dispatches.to_vec(), pieces.to_vec(), promise));
                reading
            } else {
                self.wait(Waiting::Kernels(dispatches.to_vec()));
                ReadBack::empty(&self.context, known)
            });
        }
        self.encode_all(dispatches);
        if reads {
            let mapping = self.submit_and_copy(pieces).map();
            return Ok(ReadBack::of(mapping, &self.context, known));
        }
        if !self.pending.is_held || self.memory.is_shared() {
            self.submit_encoded();
        }
        Ok(ReadBack::empty(&self.context, known))
    }

    /// Submits what has been given, also what waits for pipelines.
    pub fn submit(&mut self) {
        while self.is_waiting() {
            self.compile_next();
        }
        self.submit_encoded();
    }

    /// Submits what is held, but nothing that waits.
    pub(crate) fn submit_encoded(&mut self) {
        if self.pending.encoder.is_some() {
            let encoder = self.take_encoder();
            self.submit_encoder(encoder);
        }
    }

    fn submit_and_copy(&mut self, pieces: &[Piece]) -> Copied {
        let mut encoder = self.take_encoder();
        let copied = self.staging.copy(&self.context, &mut encoder, pieces);
        self.submit_encoder(encoder);
        copied
    }

    fn encode_all(&mut self, dispatches: &[Dispatch]) {
        for dispatches in dispatches.chunks(MOST_DISPATCHES) {
            if self.pending.dispatches + dispatches.len() > MOST_DISPATCHES {
                self.submit_encoded();
            }
            if self.shared.params.is_short_of(dispatches.len()) {
                self.submit_encoded();
                self.shared.params.forget();
            }
            self.encode(dispatches);
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
        // What still waits uses buffers as what is encoded does.
        if !self.is_waiting() {
            self.memory.submitted();
        }
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
        let (number, pipeline) = self.pipelines.get(device, &dispatch.kernel);
        let slot = self.shared.params.slot_of(&dispatch.params);
        let shared = &self.shared;
        let bind_group =
            self.bind_groups.get(number, dispatch, slot, || shared.bind_group(device, pipeline, dispatch, slot));
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
