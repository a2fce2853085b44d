//! What follows from the partials of a whole batch: merged on the device by the kernel that merges the atoms of one device, so
//! that one and several devices have the same bits.

use syncbn_core::{KernelError, Kind, Partial, STATISTICS_ROWS};

use crate::dispatch::Dispatch;
use crate::elementwise::BackwardInput;
use crate::error::GpuError;
use crate::forest::Forest;
use crate::gpu::Gpu;
use crate::merge::{Finish, Guard, Nodes, Order, Running};
use crate::reduce::{self, Inputs, Range};
use crate::tiles::node_bytes;

/// Checks that bytes are partials of one kind that cover adjacent ranges, end to end, as core does when it merges them.
///
/// # Errors
/// [`GpuError::Kernel`] if they are not.
pub fn check_partials(bytes: &[u8]) -> Result<(), GpuError> {
    Partial::merge_bytes(bytes)?;
    Ok(())
}

impl Gpu {
    /// Statistics of a whole batch from its partials, end to end.
    ///
    /// # Errors
    /// [`GpuError::Kernel`] if the bytes are not the moments of a whole batch; [`GpuError::UnknownBuffer`], no room for scratch
    /// memory, and what has failed before.
    pub fn finalize(&mut self, merged: &[u8], guard: Guard, statistics: u32) -> Result<(), GpuError> {
        let lengths = [("statistics", statistics, STATISTICS_ROWS)];
        self.with_nodes(Kind::Moments, merged, &lengths, |gpu, nodes, mut dispatches| {
            dispatches.push(gpu.finalize_nodes(nodes, Some((statistics, guard)), None)?);
            gpu.run(&dispatches)
        })
    }

    /// The running statistics after a batch with these moments.
    ///
    /// # Errors
    /// As [`Gpu::finalize`].
    pub fn update_running(&mut self, merged: &[u8], running: &Running) -> Result<(), GpuError> {
        let Running { mean, variance, next_mean, next_variance, .. } = *running;
        let lengths = [
            ("running_mean", mean, 1),
            ("running_var", variance, 1),
            ("running_mean", next_mean, 1),
            ("running_var", next_variance, 1),
        ];
        self.with_nodes(Kind::Moments, merged, &lengths, |gpu, nodes, mut dispatches| {
            dispatches.push(gpu.finalize_nodes(nodes, None, Some(running))?);
            gpu.run(&dispatches)
        })
    }

    /// Gradients of weight and bias, each of which may be 0: not wanted.
    ///
    /// # Errors
    /// [`GpuError::Kernel`] if the bytes are not the sums of a whole batch; else as [`Gpu::finalize`].
    pub fn backward_parameters(
        &mut self,
        sums: &[u8],
        statistics: u32,
        dweight: u32,
        dbias: u32,
    ) -> Result<(), GpuError> {
        let finish = Finish { statistics, dweight, dbias, ..Finish::default() };
        let lengths = [("statistics", statistics, STATISTICS_ROWS), ("dweight", dweight, 1), ("dbias", dbias, 1)];
        self.with_nodes(Kind::Sums, sums, &lengths, |gpu, nodes, mut dispatches| {
            dispatches.push(gpu.finish_sums(nodes, &finish, None)?);
            gpu.run(&dispatches)
        })
    }

    /// Input gradient of a shard. `sums` absent: evaluation. With `clamp_eps` the variance was max(var, eps).
    ///
    /// # Errors
    /// As [`Gpu::backward_parameters`].
    pub fn backward_input(
        &mut self,
        args: &BackwardInput,
        sums: Option<&[u8]>,
        clamp_eps: Option<f64>,
    ) -> Result<(), GpuError> {
        let BackwardInput { layout, statistics, weight, .. } = *args;
        let of_batch = sums.is_some();
        let finish = Finish { statistics, weight, of_batch, clamp_eps, ..Finish::default() };
        let channels = layout.channels();
        let lengths = [("statistics", statistics, STATISTICS_ROWS), ("weight", weight, 1)];
        self.with_scratch(node_bytes(channels, 1), |gpu, plane| {
            let run = |gpu: &mut Self, nodes: &Nodes, mut dispatches: Vec<Dispatch>| {
                dispatches.push(gpu.finish_sums(nodes, &finish, Some(plane))?);
                dispatches.extend(gpu.input_gradient(args, of_batch, plane)?);
                gpu.run(&dispatches)
            };
            match sums {
                Some(sums) => gpu.with_nodes(Kind::Sums, sums, &lengths, run),
                None => gpu.with_scratch(node_bytes(channels, 1), |gpu, buffer| {
                    let order = Order::Atoms { tiles: gpu.tiles(layout), first: 0 };
                    let nodes = Nodes { channels, buffer: buffer.clone(), count: 0, values: 0, order };
                    run(gpu, &nodes, Vec::new())
                }),
            }
        })
    }

    /// Uploads the nodes of a whole batch, and hands them on with the kernels that reduce its raw leaves. `lengths` are names,
    /// handles (0: absent) and rows of C values of the buffers that go with them: the bytes may be of another batch.
    fn with_nodes<T>(
        &mut self,
        kind: Kind,
        bytes: &[u8],
        lengths: &[(&'static str, u32, usize)],
        command: impl FnOnce(&mut Self, &Nodes, Vec<Dispatch>) -> Result<T, GpuError>,
    ) -> Result<T, GpuError> {
        let forest = Forest::read(kind, bytes)?;
        for (name, handle, rows) in lengths.iter().copied().filter(|(_, handle, _)| *handle != 0) {
            let (expected, actual) = (rows * forest.channels, self.memory.length(handle)?);
            if actual != expected {
                return Err(KernelError::Length { name, expected, actual }.into());
            }
        }
        let mut taken = Vec::new();
        let uploaded = self.upload_forest(&forest, &mut taken);
        let result = uploaded.and_then(|(nodes, dispatches)| command(self, &nodes, dispatches));
        taken.into_iter().for_each(|buffer| self.memory.give_back(buffer));
        result
    }

    fn upload_forest(
        &mut self,
        forest: &Forest,
        taken: &mut Vec<wgpu::Buffer>,
    ) -> Result<(Nodes, Vec<Dispatch>), GpuError> {
        let nodes = self.upload(&to_bytes(&forest.values, f32::to_le_bytes), taken)?;
        let levels = self.upload(&to_bytes(&forest.levels(), u32::to_le_bytes), taken)?;
        let leaf_values = forest.layout(0)?.leaf_samples() * forest.length;
        let mut dispatches = Vec::with_capacity(forest.leaves.len() + 2);
        for leaf in &forest.leaves {
            let samples = usize::try_from(leaf.samples).unwrap_or(usize::MAX);
            let tiles = self.tiles(forest.layout(samples)?);
            let x = self.upload(&to_bytes(&leaf.x, f32::to_le_bytes), taken)?;
            let backward = match &leaf.dy {
                // The mean has been subtracted.
                Some(dy) => Some([
                    self.upload(&to_bytes(dy, f32::to_le_bytes), taken)?,
                    self.upload(&vec![0; 4 * forest.channels], taken)?,
                ]),
                None => None,
            };
            let range = Range { skipped: 0, samples, first_node: leaf.place };
            dispatches.push(reduce::atoms(&tiles, &Inputs { x, backward }, range, &nodes));
        }
        let nodes = Nodes {
            channels: forest.channels,
            buffer: nodes,
            count: forest.nodes.len(),
            values: forest.samples * forest.length as u64,
            order: Order::Partials { levels, leaves: forest.leaves_of_batch(), leaf_values },
        };
        Ok((nodes, dispatches))
    }

    /// A buffer with these contents, for the time of a command.
    fn upload(&mut self, bytes: &[u8], taken: &mut Vec<wgpu::Buffer>) -> Result<wgpu::Buffer, GpuError> {
        let buffer = self.take_idle(bytes.len() as u64)?;
        taken.push(buffer.clone());
        self.context.queue.write_buffer(&buffer, 0, bytes);
        Ok(buffer)
    }
}

fn to_bytes<T: Copy>(values: &[T], bytes_of: impl Fn(T) -> [u8; 4]) -> Vec<u8> {
    values.iter().flat_map(|value| bytes_of(*value)).collect()
}
