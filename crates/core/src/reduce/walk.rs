//! Walks over a batch leaf by leaf and hands the leaves to the canonical tree.
//!
//! What is computed of a leaf depends on the [`Kind`]; where its values lie is decided here. Leaves of channels-last memory
//! are rows; leaves of contiguous memory are planes when a plane fills a leaf (L ≥ 32), and are copied into rows when
//! several samples share one. So each kind has two kernels, for rows and for planes, and a leaf that had been cut goes
//! through the same one as a leaf that had not.

use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ops::Range;

use crate::kind::Kind;
use crate::layout::{Format, Layout, leaf_samples};
use crate::layout::{GATHERED, Rows, can_be_cut, gather_rows};
use crate::reduce::inputs::Inputs;
use crate::reduce::leaves::{self, LEAVES, LEVELS};
use crate::reduce::{backward_reduce, moments, torch_sums};
use crate::simd::Lanes;
use crate::tree::{Forest, Node};

/// What is reduced, relative to which centre, and with which vectors.
pub(crate) struct Reduction<'a, V> {
    pub(crate) kind: Kind,
    /// Subtracted from x before anything else, one value per channel of the batch; empty where nothing is subtracted.
    pub(crate) centre: &'a [f32],
    /// What the difference is multiplied with, one value per channel of the batch; empty where it is 1 for all.
    scales: &'a [f64],
    pub(crate) lanes: PhantomData<V>,
}

impl<'a, V: Lanes> Reduction<'a, V> {
    pub(crate) fn new(kind: Kind, centre: &'a [f32]) -> Self {
        Self { kind, centre, scales: &[], lanes: PhantomData }
    }

    /// Backward sums relative to a mean, see `Statistics::scales_of_sums`.
    pub(crate) fn of_sums(mean: &'a [f32], scales: &'a [f64]) -> Self {
        Self { scales, ..Self::new(Kind::Sums, mean) }
    }

    /// Subtracts the centre of a channel and multiplies with its scale.
    #[allow(clippy::cast_possible_truncation, reason = "the one rounding")]
    fn relative(&self, x: f32, channel: usize) -> f32 {
        match (self.centre.get(channel), self.scales.get(channel)) {
            (None, _) => x,
            (Some(centre), None | Some(1.0)) => x - centre,
            (Some(centre), Some(scale)) => ((f64::from(x) - f64::from(*centre)) * scale) as f32,
        }
    }

    /// The leaf whose planes, of `length` values each, belong to the channels from `first`: a row of `out` per value.
    fn reduce_planes(&self, inputs: Inputs<&[f32]>, length: usize, first: usize, out: &mut [f64]) {
        let centre = self.centre.get(first..).unwrap_or_default();
        match self.kind {
            Kind::Moments => moments::reduce_planes::<V>(inputs.x, length, out),
            Kind::Total => torch_sums::total_of_planes::<V>(inputs.x, length, out),
            Kind::Deviations => torch_sums::deviations_of_planes::<V>(inputs.x, centre, length, out),
            Kind::Sums => backward_reduce::reduce_planes::<V>(inputs, centre, length, out),
        }
    }

    /// The leaf whose rows have the channels from `first` as columns.
    fn reduce_rows(&self, inputs: Inputs<Rows<'_>>, first: usize, out: &mut [f64]) {
        let centre = self.centre.get(first..first + inputs.x.width);
        match self.kind {
            Kind::Moments => moments::reduce_rows::<V>(inputs.x, out),
            Kind::Total => torch_sums::total_of_rows::<V>(inputs.x, out),
            Kind::Deviations => torch_sums::deviations_of_rows::<V>(inputs.x, centre, out),
            Kind::Sums => backward_reduce::reduce_rows::<V>(inputs, centre, out),
        }
    }

    /// The node above [`LEAVES`] leaves, whose rows have the channels from `first` as columns.
    fn reduce_leaves(&self, inputs: Inputs<Rows<'_>>, first: usize, out: &mut [f64]) {
        let centre = self.centre.get(first..first + inputs.x.width);
        match self.kind {
            Kind::Moments => moments::reduce_leaf_rows::<V>(inputs.x, out),
            Kind::Sums => backward_reduce::reduce_leaf_rows::<V>(inputs, centre, out),
            Kind::Total | Kind::Deviations => {}
        }
    }

    /// Computes the leaf that raw rows make. Their centre has been subtracted.
    pub(crate) fn reduce_edges(kind: Kind, channels: usize, edges: &[f32], out: &mut [f64]) {
        let inputs = kind.inputs();
        let count = edges.len() / (channels * inputs);
        // Super-rows want the rows of each input adjacent.
        let mut separated = Vec::with_capacity(edges.len());
        for input in 0..inputs {
            for row in edges.chunks_exact(channels).skip(input).step_by(inputs) {
                separated.extend_from_slice(row);
            }
        }
        let (dy, x) = separated.split_at((inputs - 1) * count * channels);
        let rows = |data| Rows { data, stride: channels, count, width: channels, channels };
        let inputs = Inputs { dy: (!dy.is_empty()).then(|| rows(dy)), x: rows(x) };
        Self::new(kind, &[]).reduce_rows(inputs, 0, out);
    }

    /// Reduces some channels of a whole batch. Returns the values of the root.
    pub(crate) fn whole(&self, layout: &Layout, inputs: Inputs<&[f32]>, channels: Range<usize>) -> Vec<f64> {
        let mut forest = Forest::new(self.kind, channels.len(), layout.length());
        Walk::new(self, layout, inputs, channels).push_leaves(0..layout.samples(), 0, &mut forest);
        forest.into_root().1
    }

    /// Appends the raw rows of some samples, the centre subtracted from x.
    pub(crate) fn push_edges(
        &self,
        layout: &Layout,
        inputs: Inputs<&[f32]>,
        samples: Range<usize>,
        edges: &mut Vec<f32>,
    ) {
        let (channels, length) = (layout.worked_on(), layout.length());
        if samples.is_empty() {
            return;
        }
        let width = channels.len();
        let gather = |data| {
            let mut rows = vec![0.0; samples.len() * length * width];
            gather_rows::<V>(data, layout, samples.clone(), channels.clone(), &mut rows);
            rows
        };
        let rows: Vec<Vec<f32>> = inputs.iter().map(gather).collect();
        for row in 0..samples.len() * length {
            for (input, rows) in rows.iter().enumerate() {
                let begin = edges.len();
                edges.extend_from_slice(&rows[row * width..][..width]);
                if input + 1 == self.kind.inputs() {
                    self.make_relative(&mut edges[begin..], channels.start, 1);
                }
            }
        }
    }

    /// [`Self::relative`] of values of which each channel from `first` has `length` in turn.
    fn make_relative(&self, values: &mut [f32], first: usize, length: usize) {
        if self.scales.is_empty() && length == 1 {
            for (x, centre) in values.iter_mut().zip(self.centre.get(first..).unwrap_or_default()) {
                *x -= centre;
            }
            return;
        }
        for (channel, values) in (first..).zip(values.chunks_mut(length)) {
            for x in values {
                *x = self.relative(*x, channel);
            }
        }
    }
}

/// A walk over the leaves of some channels.
pub(crate) struct Walk<'a, V> {
    reduction: &'a Reduction<'a, V>,
    layout: &'a Layout,
    inputs: Inputs<&'a [f32]>,
    channels: Range<usize>,
}

impl<'a, V: Lanes> Walk<'a, V> {
    pub(crate) fn new(
        reduction: &'a Reduction<'a, V>,
        layout: &'a Layout,
        inputs: Inputs<&'a [f32]>,
        channels: Range<usize>,
    ) -> Self {
        Self { reduction, layout, inputs, channels }
    }

    /// Pushes the leaves of some samples, which begin with the leaf of number `index`; the last may be incomplete.
    pub(crate) fn push_leaves(&self, samples: Range<usize>, mut index: u64, forest: &mut Forest) {
        let leaf = leaf_samples(self.layout.length());
        let at_once = LEAVES * leaf;
        let fits = self.are_rows()
            && self.reduction.scales.is_empty()
            && matches!(self.reduction.kind, Kind::Moments | Kind::Sums)
            && leaves::fits(self.layout.channels(), leaf * self.layout.length());
        let mut begin = samples.start;
        while begin < samples.end {
            if fits && index.is_multiple_of(LEAVES as u64) && samples.end - begin >= at_once {
                self.push_node(begin..begin + at_once, index, forest);
                (begin, index) = (begin + at_once, index + LEAVES as u64);
            } else {
                self.push_leaf(begin..(begin + leaf).min(samples.end), index, forest);
                (begin, index) = (begin + leaf, index + 1);
            }
        }
    }

    /// Pushes the node above [`LEAVES`] leaves of rows, the first of which has the number `index`.
    fn push_node(&self, samples: Range<usize>, index: u64, forest: &mut Forest) {
        let node = Node { level: LEVELS, index: index >> LEVELS, samples: samples.len() as u64 };
        forest.push(node, |slot| {
            self.reduce_rows(samples, slot, |by, rows, first, out| {
                by.reduce_leaves(rows, first, out);
            });
        });
    }

    /// Whether leaves are rows, be it that they lie so or that several samples share one.
    fn are_rows(&self) -> bool {
        self.layout.format() == Format::ChannelsLast || leaf_samples(self.layout.length()) > 1
    }

    /// Reduces some samples as rows: where they lie, or where they are copied to.
    fn reduce_rows(
        &self,
        samples: Range<usize>,
        out: &mut [f64],
        reduce: impl Fn(&Reduction<'_, V>, Inputs<Rows<'_>>, usize, &mut [f64]),
    ) {
        let all = self.layout.channels();
        let can_be_read = self.layout.format() == Format::ChannelsLast && self.reduction.scales.is_empty();
        if can_be_read {
            reduce(self.reduction, self.rows(samples), self.channels.start, out);
            return;
        }
        let (count, width) = (samples.len() * self.layout.length(), self.channels.len());
        let strip = if can_be_cut(all) { GATHERED.min(width) } else { width };
        let mut copies = self.inputs.map(|_| vec![0.0; count * strip]);
        let mut of_strip = vec![0.0; self.reduction.kind.values() * strip];
        for first in self.channels.clone().step_by(strip) {
            let channels = first..(first + strip).min(self.channels.end);
            let strip = channels.len();
            let rows = self.gather(samples.clone(), channels, &mut copies);
            let of_strip = &mut of_strip[..self.reduction.kind.values() * strip];
            // Where there are scales the centre has been subtracted.
            if self.reduction.scales.is_empty() {
                reduce(self.reduction, rows, first, of_strip);
            } else {
                reduce(&Reduction::new(self.reduction.kind, &[]), rows, first, of_strip);
            }
            let begin = first - self.channels.start;
            for (out, of_strip) in out.chunks_exact_mut(width).zip(of_strip.chunks_exact(strip)) {
                out[begin..begin + strip].copy_from_slice(of_strip);
            }
        }
    }

    /// Copies some samples and channels into rows, and scales x where there are scales.
    fn gather<'b>(
        &self,
        samples: Range<usize>,
        channels: Range<usize>,
        copies: &'b mut Inputs<Vec<f32>>,
    ) -> Inputs<Rows<'b>> {
        let (count, width) = (samples.len() * self.layout.length(), channels.len());
        let copy = |data, copy: &mut Vec<f32>| {
            gather_rows::<V>(data, self.layout, samples.clone(), channels.clone(), &mut copy[..count * width]);
        };
        copy(self.inputs.x, &mut copies.x);
        if let (Some(dy), Some(copy_of_dy)) = (self.inputs.dy, &mut copies.dy) {
            copy(dy, copy_of_dy);
        }
        if !self.reduction.scales.is_empty() {
            for row in copies.x[..count * width].chunks_exact_mut(width) {
                self.reduction.make_relative(row, channels.start, 1);
            }
        }
        let rows = |data: &'b [f32]| Rows { data, stride: width, count, width, channels: self.layout.channels() };
        Inputs { dy: copies.dy.as_deref().map(rows), x: rows(&copies.x) }
    }

    /// The rows of some samples, in channels-last memory.
    fn rows(&self, samples: Range<usize>) -> Inputs<Rows<'a>> {
        let (stride, count) = (self.layout.channels(), samples.len() * self.layout.length());
        let begin = samples.start * self.layout.length() * stride + self.channels.start;
        let width = self.channels.len();
        self.inputs.map(|data| Rows { data: &data[begin..], stride, count, width, channels: stride })
    }

    fn push_leaf(&self, samples: Range<usize>, index: u64, forest: &mut Forest) {
        let node = Node { level: 0, index, samples: samples.len() as u64 };
        if self.are_rows() {
            forest.push(node, |slot| {
                self.reduce_rows(samples, slot, |by, rows, first, out| {
                    by.reduce_rows(rows, first, out);
                });
            });
            return;
        }
        let (length, width) = (self.layout.length(), self.channels.len());
        let begin = (samples.start * self.layout.channels() + self.channels.start) * length;
        let planes = self.inputs.map(|data| &data[begin..][..width * length]);
        forest.push(node, |slot| self.reduce_planes(planes, slot));
    }

    /// The leaf of one sample whose planes these are.
    fn reduce_planes(&self, planes: Inputs<&[f32]>, out: &mut [f64]) {
        let (length, first) = (self.layout.length(), self.channels.start);
        if self.reduction.scales.is_empty() {
            self.reduction.reduce_planes(planes, length, first, out);
            return;
        }
        let mut x = planes.x.to_vec();
        self.reduction.make_relative(&mut x, first, length);
        let zeros = vec![0.0; self.channels.len()];
        let relative = Reduction::<V>::new(self.reduction.kind, &zeros);
        relative.reduce_planes(Inputs { x: &x, ..planes }, length, 0, out);
    }
}
