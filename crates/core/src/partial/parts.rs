//! Partials in parts, for devices that compute nodes by themselves.
//!
//! Such a device makes a partial of the nodes it has computed and the raw values of its edges, and takes the partials of a
//! batch apart to merge them in its own arithmetic.

use alloc::vec::Vec;

use crate::error::{KernelError, expect_length};
use crate::kind::Kind;
use crate::layout::Layout;
use crate::partial::monoid::{Cuts, Partial, cuts, end_of_samples};
use crate::reduce::{Inputs, Reduction};
use crate::simd::Native;
use crate::tree::{Node, subtrees};

/// What a device knows of its shard. Samples are in the format of the shard's layout.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// Global number of the first sample.
    pub first_sample: u64,
    /// The values of the maximal subtrees from left to right; within one, a row of C per value of the kind.
    pub nodes: &'a [f64],
    /// dy of the samples before the first complete leaf and after the last, for backward sums.
    pub edges_dy: Option<[&'a [f32]; 2]>,
    /// x of the same samples.
    pub edges_x: [&'a [f32]; 2],
    /// `mean_hi`, for backward sums; absent otherwise.
    pub centre: &'a [f32],
}

impl Partial {
    /// A partial of moments or backward sums from its parts.
    ///
    /// # Errors
    /// If the parts are not as long as `layout`, the shape of the whole shard, says.
    pub fn from_parts(kind: Kind, layout: &Layout, parts: Parts<'_>) -> Result<Self, KernelError> {
        let first = parts.first_sample;
        let leaf = layout.leaf_samples() as u64;
        let end = end_of_samples(first, layout.samples() as u64, layout.length())?;
        let mut partial = Self::empty(kind, layout.channels(), layout.length(), first, &[]);
        partial.samples = layout.samples() as u64;
        let Cuts { head_end, tail_begin } = cuts(first, end, leaf);
        let width = layout.channels() * kind.values();
        let nodes: Vec<_> = subtrees(head_end / leaf, tail_begin / leaf).collect();
        expect_length("nodes", parts.nodes.len(), nodes.len() * width)?;
        for ((level, index), values) in nodes.into_iter().zip(parts.nodes.chunks_exact(width)) {
            let node = Node { level, index, samples: leaf << level };
            partial.nodes.push(node, |slot| slot.copy_from_slice(values));
        }
        let reduction = Reduction::<Native>::new(kind, parts.centre);
        for (edge, samples) in [head_end - first, end - tail_begin].into_iter().enumerate() {
            let samples = usize::try_from(samples).unwrap_or(usize::MAX);
            let layout = Layout::new(samples, layout.channels(), layout.length(), layout.format())?;
            let inputs = Inputs { dy: parts.edges_dy.map(|dy| dy[edge]), x: parts.edges_x[edge] };
            inputs.dy.map_or(Ok(()), |dy| layout.expect_tensor("edges of dy", dy))?;
            layout.expect_tensor("edges of x", inputs.x)?;
            let rows = if edge == 0 { &mut partial.head } else { &mut partial.tail };
            reduction.push_edges(&layout, inputs, 0..samples, rows);
        }
        Ok(partial)
    }

    /// L.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// The maximal subtrees from left to right, each with a row of C per value of the kind.
    pub fn subtrees(&self) -> impl Iterator<Item = (Node, &[f64])> {
        self.nodes.nodes()
    }

    /// Raw rows of the samples that belong to a leaf that begins before this partial: dy, for backward sums, and x row by row,
    /// the centre subtracted from x.
    #[must_use]
    pub fn head(&self) -> &[f32] {
        &self.head
    }

    /// Raw rows of the last leaf, if it is not complete and begins in this partial.
    #[must_use]
    pub fn tail(&self) -> &[f32] {
        &self.tail
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Format;
    use crate::{backward_reduce, moments};

    #[test]
    fn a_partial_put_together_from_its_parts_is_the_same() {
        for (samples, length, format) in
            [(5, 40, Format::Contiguous), (13, 4, Format::Contiguous), (70, 1, Format::ChannelsLast)]
        {
            let layout = Layout::new(samples, 3, length, format).expect("a moderate shape");
            let x: Vec<f32> = (0_u16..).map(|i| f32::from(i % 97) * 0.37 - 11.0).take(layout.elements()).collect();
            let dy: Vec<f32> = x.iter().map(|x| x * x - 40.0).collect();
            let statistics: Vec<f32> = (0_u8..12).map(f32::from).collect();
            for first in [0, 1, 6, 29] {
                for kind in [Kind::Moments, Kind::Sums] {
                    let of_sums = kind == Kind::Sums;
                    let partial = if of_sums {
                        backward_reduce(&dy, &x, &statistics, &layout, first)
                    } else {
                        moments(&x, &layout, first)
                    }
                    .expect("lengths fit");
                    let Cuts { head_end, tail_begin } = cuts(first, partial.end(), layout.leaf_samples() as u64);
                    let at = |sample: u64| usize::try_from(sample - first).expect("small") * 3 * length;
                    let edges = |data: &[f32]| -> [Vec<f32>; 2] {
                        [data[..at(head_end)].to_vec(), data[at(tail_begin)..].to_vec()]
                    };
                    let (edges_x, edges_dy) = (edges(&x), edges(&dy));
                    let parts = Parts {
                        first_sample: first,
                        nodes: partial.nodes.values(),
                        edges_dy: of_sums.then_some([&edges_dy[0], &edges_dy[1]]),
                        edges_x: [&edges_x[0], &edges_x[1]],
                        centre: if of_sums { &statistics[..3] } else { &[] },
                    };
                    assert_eq!(Partial::from_parts(kind, &layout, parts), Ok(partial));
                }
            }
        }
    }
}
