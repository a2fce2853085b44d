//! Walks over a batch leaf by leaf and hands the leaves to the canonical tree.
//!
//! What is computed of a leaf is a [`Reduction`]; where its values lie is decided here. Leaves of channels-last memory
//! are rows; leaves of contiguous memory are planes when a plane fills a leaf (L ≥ 32), and are copied into rows when
//! several samples share one. So each reduction has two kernels, for rows and for planes, and a leaf that had been cut
//! goes through the same one as a leaf that had not.

use core::ops::Range;

use crate::backward_reduce::BackwardReduce;
use crate::error::KernelError;
use crate::kind::Kind;
use crate::layout::{Format, Layout, leaf_samples};
use crate::moments::Moments;
use crate::partial::{Partial, cuts};
use crate::simd::Native;
use crate::torch_sums::{Deviations, Total};
use crate::tree::{Forest, Node};

/// Rows of `width` values, each `stride` after the one before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) count: usize,
    pub(crate) width: usize,
    /// C of the batch, whether or not all are in these rows.
    pub(crate) channels: usize,
}

impl<'a> Rows<'a> {
    pub(crate) fn row(&self, index: usize) -> &'a [f32] {
        &self.data[index * self.stride..][..self.width]
    }
}

/// A quantity per channel and leaf. `INPUTS` tensors of one shape go in, `kind().values()` rows of f64 come out.
pub(crate) trait Reduction<const INPUTS: usize> {
    fn kind(&self) -> Kind;

    /// What is subtracted from the last input before anything else; one value per channel of the batch.
    fn centre(&self) -> Option<&[f32]>;

    /// Planes of `out.len() / values` adjacent channels, of which `first_channel` is the first. Each has `length` values.
    fn planes(&self, inputs: [&[f32]; INPUTS], length: usize, first_channel: usize, out: &mut [f64]);

    /// Rows whose columns are the channels from `first_channel`. `centred`: the centre is already subtracted.
    fn rows(&self, inputs: [Rows<'_>; INPUTS], first_channel: usize, centred: bool, out: &mut [f64]);
}

/// The raw rows of one leaf: row after row, in each row the values of all inputs.
pub(crate) struct Edges<'a> {
    pub(crate) kind: Kind,
    pub(crate) channels: usize,
    pub(crate) values: &'a [f32],
}

/// Computes the leaf that raw rows make.
pub(crate) fn reduce_edges(edges: &Edges<'_>, out: &mut [f64]) {
    let width = edges.channels;
    let inputs = edges.kind.inputs();
    let count = edges.values.len() / (width * inputs);
    // Super-rows want the rows of each input adjacent.
    let rows = edges.values.chunks_exact(width);
    let separated: Vec<f32> =
        (0..inputs).flat_map(|i| rows.clone().skip(i).step_by(inputs).flatten()).copied().collect();
    let input = |i: usize| Rows { data: &separated[i * count * width..], stride: width, count, width, channels: width };
    match edges.kind {
        Kind::Moments => Moments::<Native>::new().rows([input(0)], 0, true, out),
        Kind::Total => Total::<Native>::new().rows([input(0)], 0, true, out),
        Kind::Deviations => Deviations::<Native>::from(&[]).rows([input(0)], 0, true, out),
        Kind::Sums => BackwardReduce::<Native>::from(&[]).rows([input(0), input(1)], 0, true, out),
    }
}

/// Reduces all samples of a batch to the partial that begins with the global sample `first`.
pub(crate) fn partial<const INPUTS: usize, R: Reduction<INPUTS>>(
    reduction: &R,
    layout: &Layout,
    inputs: [&[f32]; INPUTS],
    first: u64,
) -> Result<Partial, KernelError> {
    let (channels, length) = (layout.channels(), layout.length());
    let kind = reduction.kind();
    let centre = if kind.has_centre() { reduction.centre().unwrap_or_default() } else { &[] };
    let mut partial = Partial::empty(kind, channels, length, first, centre);
    partial.samples = layout.samples() as u64;
    let Some(end) = first.checked_add(partial.samples) else {
        return Err(KernelError::Shape { samples: layout.samples(), channels, length });
    };
    let leaf = leaf_samples(length);
    let cuts = cuts(first, end, leaf as u64);
    let local = |sample: u64| usize::try_from(sample - first).unwrap_or(usize::MAX);
    edge_rows(reduction, layout, inputs, 0..local(cuts.head_end), &mut partial.head);
    edge_rows(reduction, layout, inputs, local(cuts.tail_begin)..layout.samples(), &mut partial.tail);
    let mut walk = Walk::new(layout, inputs, 0..channels);
    for index in cuts.head_end / leaf as u64..cuts.tail_begin / leaf as u64 {
        let begin = local(index * leaf as u64);
        walk.push_leaf(reduction, begin..begin + leaf, index, &mut partial.nodes);
    }
    Ok(partial)
}

/// Reduces some channels of a whole batch; `forest` is scratch memory. Returns the values of the root.
pub(crate) fn whole<'a, const INPUTS: usize, R: Reduction<INPUTS>>(
    reduction: &R,
    layout: &Layout,
    inputs: [&[f32]; INPUTS],
    channels: Range<usize>,
    forest: &'a mut Forest,
) -> &'a [f64] {
    forest.restart(channels.len());
    let leaf = leaf_samples(layout.length());
    let mut walk = Walk::new(layout, inputs, channels);
    for (index, begin) in (0..layout.samples()).step_by(leaf).enumerate() {
        let samples = begin..(begin + leaf).min(layout.samples());
        walk.push_leaf(reduction, samples, index as u64, forest);
    }
    forest.root().1
}

/// A walk over the leaves of some channels.
struct Walk<'a, const INPUTS: usize> {
    layout: &'a Layout,
    inputs: [&'a [f32]; INPUTS],
    channels: Range<usize>,
    /// Rows of a leaf that is gathered from several contiguous samples.
    gathered: [Vec<f32>; INPUTS],
}

impl<'a, const INPUTS: usize> Walk<'a, INPUTS> {
    fn new(layout: &'a Layout, inputs: [&'a [f32]; INPUTS], channels: Range<usize>) -> Self {
        Self { layout, inputs, channels, gathered: [const { Vec::new() }; INPUTS] }
    }

    fn push_leaf(
        &mut self,
        reduction: &impl Reduction<INPUTS>,
        samples: Range<usize>,
        index: u64,
        forest: &mut Forest,
    ) {
        let node = Node { level: 0, index, samples: samples.len() as u64 };
        let (all, length) = (self.layout.channels(), self.layout.length());
        let (first, width) = (self.channels.start, self.channels.len());
        let count = samples.len() * length;
        match self.layout.format() {
            Format::ChannelsLast => {
                let begin = samples.start * length * all + first;
                let rows =
                    self.inputs.map(|data| Rows { data: &data[begin..], stride: all, count, width, channels: all });
                forest.push(node, |slot| reduction.rows(rows, first, false, slot));
            }
            Format::Contiguous if leaf_samples(length) == 1 => {
                let begin = (samples.start * all + first) * length;
                let planes = self.inputs.map(|data| &data[begin..][..width * length]);
                forest.push(node, |slot| reduction.planes(planes, length, first, slot));
            }
            Format::Contiguous => {
                for (rows, data) in self.gathered.iter_mut().zip(self.inputs) {
                    rows.resize(count * width, 0.0);
                    gather_rows(data, self.layout, samples.clone(), self.channels.clone(), rows);
                }
                let rows = core::array::from_fn(|i| Rows {
                    data: &self.gathered[i],
                    stride: width,
                    count,
                    width,
                    channels: all,
                });
                forest.push(node, |slot| reduction.rows(rows, first, false, slot));
            }
        }
    }
}

/// Copies planes of contiguous samples into rows: the transpose of each sample's (C, L).
fn gather_rows(data: &[f32], layout: &Layout, samples: Range<usize>, channels: Range<usize>, rows: &mut [f32]) {
    let (all, length) = (layout.channels(), layout.length());
    let width = channels.len();
    for (sample, rows) in samples.zip(rows.chunks_exact_mut(length * width)) {
        let planes = &data[(sample * all + channels.start) * length..][..width * length];
        for (channel, plane) in planes.chunks_exact(length).enumerate() {
            for (row, value) in rows.chunks_exact_mut(width).zip(plane) {
                row[channel] = *value;
            }
        }
    }
}

/// Appends the raw rows of some samples, the centre subtracted from the last input.
fn edge_rows<const INPUTS: usize>(
    reduction: &impl Reduction<INPUTS>,
    layout: &Layout,
    inputs: [&[f32]; INPUTS],
    samples: Range<usize>,
    edges: &mut Vec<f32>,
) {
    let (channels, length) = (layout.channels(), layout.length());
    let at = |sample: usize, channel: usize, position: usize| match layout.format() {
        Format::Contiguous => (sample * channels + channel) * length + position,
        Format::ChannelsLast => (sample * length + position) * channels + channel,
    };
    for sample in samples {
        for position in 0..length {
            for (i, input) in inputs.iter().enumerate() {
                let centre = if i + 1 == INPUTS { reduction.centre() } else { None };
                edges.extend((0..channels).map(|channel| {
                    input[at(sample, channel, position)] - centre.map_or(0.0, |centre| centre[channel])
                }));
            }
        }
    }
}
