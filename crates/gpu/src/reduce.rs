//! Atoms of a batch: moments or backward sums.

use syncbn_core::STATISTICS_ROWS;

use crate::dispatch::{Binding, Dispatch, word};
use crate::shaders::Shader;
use crate::tiles::Tiles;

/// What is reduced.
#[derive(Debug, Clone)]
pub(crate) struct Inputs {
    pub(crate) x: wgpu::Buffer,
    /// dy and the statistics, for backward sums.
    pub(crate) backward: Option<[wgpu::Buffer; 2]>,
}

impl Inputs {
    /// f32 tensors of the size of the batch.
    fn tensors(&self) -> usize {
        1 + usize::from(self.backward.is_some())
    }
}

/// Which samples, counted from the first in memory, and where their nodes go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    pub(crate) skipped: usize,
    pub(crate) samples: usize,
    pub(crate) first_node: usize,
}

/// The kernel that leaves the nodes of all atoms of some samples, the first of which begins a leaf, in `nodes`.
pub(crate) fn atoms(tiles: &Tiles, inputs: &Inputs, range: Range, nodes: &wgpu::Buffer) -> Dispatch {
    let layout = tiles.layout;
    let units = tiles.units(range.samples);
    let shader = if inputs.backward.is_some() { Shader::BackwardReduce } else { Shader::Moments };
    let [x, nodes] = [&inputs.x, nodes].map(|buffer| Binding::Buffer(buffer.clone()));
    let outputs = if tiles.is_rows { [Binding::AbsentOutput, nodes] } else { [nodes, Binding::AbsentOutput] };
    let mut bindings = vec![x.clone(), x];
    bindings.extend(outputs);
    let mut bytes_read = 4 * inputs.tensors() * range.samples * layout.length() * layout.channels();
    if let Some([dy, statistics]) = &inputs.backward {
        bindings.extend([dy, dy, statistics].map(|buffer| Binding::Buffer(buffer.clone())));
        bytes_read += 4 * STATISTICS_ROWS * layout.channels();
    }
    let params = [
        0,
        units,
        layout.channels(),
        layout.length(),
        range.samples,
        range.skipped,
        layout.leaf_samples(),
        tiles.chunks.ilog2() as usize,
        tiles.chunk,
        range.first_node,
    ];
    Dispatch {
        kernel: tiles.kernel(shader),
        params: params.map(word).into(),
        bindings,
        workgroups: tiles.workgroups(units),
        bytes_read: bytes_read as u64,
        bytes_written: tiles.node_bytes(tiles.atoms(range.samples)),
    }
}
