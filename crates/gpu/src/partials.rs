//! A shard of a batch that lies on several devices: its partial, in core's bytes.
//!
//! The device reduces the complete leaves to subtrees; the host reads these and the raw edges, one small buffer, and makes a
//! [`Partial`] of them. A value that the device holds as two f32 is their sum in f64, exactly (`as_f64` of `pairs.wgsl`).

use std::future::Future;

use syncbn_core::{Cuts, Kind, Layout, Partial, Parts, cuts, subtrees};

use crate::dispatch::Piece;
use crate::error::GpuError;
use crate::gpu::Gpu;
use crate::merge::{Nodes, Order};
use crate::read_back::floats;
use crate::reduce::{self, Inputs, Range};
use crate::tiles::node_bytes;

/// A shard whose partial is on its way.
struct Shard {
    kind: Kind,
    layout: Layout,
    first_sample: u64,
    /// Subtrees.
    nodes: usize,
    /// Samples of the head and of the tail.
    edges: [usize; 2],
}

impl Gpu {
    /// Partial moments of a shard whose first sample has the global number `first_sample`, as bytes.
    ///
    /// # Errors
    /// [`GpuError::UnknownBuffer`], no room for scratch memory, and what has failed before or fails meanwhile.
    pub fn moments(
        &mut self,
        x: u32,
        layout: &Layout,
        first_sample: u64,
    ) -> Result<impl Future<Output = Result<Vec<u8>, GpuError>> + use<>, GpuError> {
        let inputs = Inputs { x: self.memory.get(x)?.clone(), backward: None };
        self.partial(Kind::Moments, &inputs, layout, first_sample)
    }

    /// Partial backward sums of a shard whose first sample has the global number `first_sample`, as bytes.
    ///
    /// # Errors
    /// [`GpuError::UnknownBuffer`], no room for scratch memory, and what has failed before or fails meanwhile.
    pub fn backward_reduce(
        &mut self,
        dy: u32,
        x: u32,
        statistics: u32,
        layout: &Layout,
        first_sample: u64,
    ) -> Result<impl Future<Output = Result<Vec<u8>, GpuError>> + use<>, GpuError> {
        let backward = [self.memory.get(dy)?.clone(), self.memory.get(statistics)?.clone()];
        let inputs = Inputs { x: self.memory.get(x)?.clone(), backward: Some(backward) };
        self.partial(Kind::Sums, &inputs, layout, first_sample)
    }

    fn partial(
        &mut self,
        kind: Kind,
        inputs: &Inputs,
        layout: &Layout,
        first_sample: u64,
    ) -> Result<impl Future<Output = Result<Vec<u8>, GpuError>> + use<>, GpuError> {
        let tiles = self.tiles(*layout);
        let leaf = layout.leaf_samples() as u64;
        let end = first_sample + layout.samples() as u64;
        let Cuts { head_end, tail_begin } = cuts(first_sample, end, leaf);
        let local = |sample: u64| usize::try_from(sample - first_sample).unwrap_or(usize::MAX);
        let samples = local(tail_begin) - local(head_end);
        let shard = Shard {
            kind,
            layout: *layout,
            first_sample,
            nodes: subtrees(head_end / leaf, tail_begin / leaf).count(),
            edges: [local(head_end), layout.samples() - local(tail_begin)],
        };
        let count = tiles.atoms(samples);
        let reading = self.with_scratch(tiles.node_bytes(count), |gpu, scratch| {
            let nodes = Nodes {
                channels: layout.channels(),
                buffer: scratch.clone(),
                count,
                values: (samples * layout.length()) as u64,
                order: Order::Atoms { tiles, first: head_end / leaf * tiles.chunks as u64 },
            };
            let range = Range { skipped: local(head_end), samples, first_node: 0 };
            let dispatches = [reduce::atoms(&tiles, inputs, range, scratch), nodes.subtrees(kind)];
            gpu.run_and_read(if samples > 0 { &dispatches } else { &[] }, &shard.pieces(inputs, scratch))
        })?;
        Ok(async move { shard.partial(&floats(&reading.await?)).map(|partial| partial.to_bytes()) })
    }
}

impl Shard {
    fn sample_values(&self) -> usize {
        self.layout.channels() * self.layout.length()
    }

    fn has_edges(&self) -> bool {
        self.edges != [0, 0]
    }

    /// What is read back: subtrees, then x of both edges, then for backward sums dy of both edges and, where there are any, the
    /// mean, which the edges are relative to.
    fn pieces(&self, inputs: &Inputs, nodes: &wgpu::Buffer) -> Vec<Piece> {
        let bytes = |values: usize| 4 * values as u64;
        let nodes_bytes = node_bytes(self.layout.channels(), self.nodes);
        let mut pieces = vec![Piece { buffer: nodes.clone(), begin: 0, bytes: nodes_bytes }];
        let mut push_edges = |tensor: &wgpu::Buffer| {
            let [head, tail] = self.edges.map(|samples| bytes(samples * self.sample_values()));
            let tail_begin = bytes((self.layout.samples() - self.edges[1]) * self.sample_values());
            pieces.push(Piece { buffer: tensor.clone(), begin: 0, bytes: head });
            pieces.push(Piece { buffer: tensor.clone(), begin: tail_begin, bytes: tail });
        };
        push_edges(&inputs.x);
        if let Some([dy, statistics]) = &inputs.backward {
            push_edges(dy);
            if self.has_edges() {
                pieces.push(Piece { buffer: statistics.clone(), begin: 0, bytes: bytes(self.layout.channels()) });
            }
        }
        pieces
    }

    /// The partial that the pieces make.
    fn partial(&self, mut values: &[f32]) -> Result<Partial, GpuError> {
        let channels = self.layout.channels();
        let row = channels.next_multiple_of(4);
        let mut take = |count: usize| {
            let (taken, rest) = values.split_at(count);
            values = rest;
            taken
        };
        let mut nodes = Vec::with_capacity(2 * channels * self.nodes);
        for pair in take(4 * row * self.nodes).chunks_exact(2 * row) {
            let (hi, lo) = pair.split_at(row);
            nodes.extend(hi.iter().zip(lo).take(channels).map(|(hi, lo)| f64::from(*hi) + f64::from(*lo)));
        }
        let mut edges = || self.edges.map(|samples| take(samples * self.sample_values()));
        let edges_x = edges();
        let of_sums = self.kind == Kind::Sums;
        let edges_dy = of_sums.then(edges);
        let centre = if of_sums && self.has_edges() { take(channels) } else { &[] };
        let parts = Parts { first_sample: self.first_sample, nodes: &nodes, edges_dy, edges_x, centre };
        Ok(Partial::from_parts(self.kind, &self.layout, parts)?)
    }
}
