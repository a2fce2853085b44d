//! Both passes of a batch that lies on one device: one submit each, nothing read back. The bits are those of the steps.

use syncbn_core::Layout;

use crate::dispatch::Dispatch;
use crate::elementwise::{BackwardInput, Normalize};
use crate::error::GpuError;
use crate::gpu::Gpu;
use crate::merge::{Finish, Guard, Nodes, Order, Running};
use crate::reduce::{self, Inputs, Range};
use crate::tiles::node_bytes;

/// What a forward pass is given.
#[derive(Debug, Clone, Copy)]
pub struct BatchNorm {
    /// Input, output, statistics, weight and bias.
    pub normalize: Normalize,
    /// Added to the variance.
    pub eps: f64,
    /// Running statistics to update, if they are tracked.
    pub running: Option<Running>,
}

/// What a backward pass is given.
#[derive(Debug, Clone, Copy)]
pub struct BatchNormBackward {
    /// Input, gradients, statistics and weight; `dx` is 0 where it is not wanted.
    pub input: BackwardInput,
    /// Handle, or 0: not wanted.
    pub dweight: u32,
    /// Handle, or 0: not wanted.
    pub dbias: u32,
    /// Whether the statistics came from this batch (training) or are constants (evaluation).
    pub batch_statistics: bool,
}

impl Gpu {
    /// Training forward of a whole batch: statistics, running statistics, output.
    ///
    /// # Errors
    /// [`GpuError::UnknownBuffer`], no room for scratch memory, and what has failed before.
    pub fn batch_norm(&mut self, args: &BatchNorm) -> Result<(), GpuError> {
        let Normalize { x, layout, statistics, .. } = args.normalize;
        let inputs = Inputs { x: self.memory.get(x)?.clone(), backward: None };
        self.with_scratch(self.scratch_bytes(&layout), |gpu, scratch| {
            let mut dispatches = Vec::new();
            let nodes = gpu.whole(&layout, &inputs, scratch, &mut dispatches);
            let guard = Guard { eps: args.eps, clamps: false };
            dispatches.push(gpu.finalize_nodes(&nodes, Some((statistics, guard)), args.running.as_ref())?);
            dispatches.extend(gpu.normalizing(&args.normalize)?);
            gpu.run(&dispatches)
        })
    }

    /// Backward of a whole batch: gradients of input, weight and bias.
    ///
    /// # Errors
    /// [`GpuError::UnknownBuffer`], no room for scratch memory, and what has failed before.
    pub fn batch_norm_backward(&mut self, args: &BatchNormBackward) -> Result<(), GpuError> {
        let BackwardInput { x, dy, dx, layout, statistics, weight } = args.input;
        let backward = [self.memory.get(dy)?.clone(), self.memory.get(statistics)?.clone()];
        let inputs = Inputs { x: self.memory.get(x)?.clone(), backward: Some(backward) };
        let wants_sums = args.batch_statistics || args.dweight != 0 || args.dbias != 0;
        let finish = Finish {
            statistics,
            weight,
            dweight: args.dweight,
            dbias: args.dbias,
            of_batch: args.batch_statistics,
            clamp_eps: None,
        };
        self.with_scratch(self.scratch_bytes(&layout), |gpu, scratch| {
            gpu.with_scratch(node_bytes(layout.channels(), 1), |gpu, plane| {
                let mut dispatches = Vec::new();
                let nodes = if wants_sums {
                    gpu.whole(&layout, &inputs, scratch, &mut dispatches)
                } else {
                    gpu.none(&layout, scratch)
                };
                dispatches.push(gpu.finish_sums(&nodes, &finish, (dx != 0).then_some(plane))?);
                if dx != 0 {
                    dispatches.extend(gpu.input_gradient(&args.input, args.batch_statistics, plane)?);
                }
                gpu.run(&dispatches)
            })
        })
    }

    fn scratch_bytes(&self, layout: &Layout) -> u64 {
        let tiles = self.tiles(*layout);
        tiles.node_bytes(tiles.atoms(layout.samples()))
    }

    /// All atoms of a batch.
    fn whole(&self, layout: &Layout, inputs: &Inputs, scratch: &wgpu::Buffer, dispatches: &mut Vec<Dispatch>) -> Nodes {
        let tiles = self.tiles(*layout);
        let range = Range { skipped: 0, samples: layout.samples(), first_node: 0 };
        if layout.samples() > 0 {
            dispatches.push(reduce::atoms(&tiles, inputs, range, scratch));
        }
        let count = tiles.atoms(layout.samples());
        Nodes { count, values: layout.values_per_channel(), ..self.none(layout, scratch) }
    }

    /// No atoms.
    fn none(&self, layout: &Layout, scratch: &wgpu::Buffer) -> Nodes {
        Nodes {
            channels: layout.channels(),
            buffer: scratch.clone(),
            count: 0,
            values: 0,
            order: Order::Atoms { tiles: self.tiles(*layout), first: 0 },
        }
    }
}
