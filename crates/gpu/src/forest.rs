//! The partials of a whole batch as they came, laid out for the kernel that merges.
//!
//! Raw edges of adjacent partials join to leaves, which the device reduces as it reduces leaves that have never been cut.

use syncbn_core::{Format, KernelError, Kind, Layout, Node, Partial};

use crate::error::GpuError;

/// The nodes of a batch in order, before any are merged.
#[derive(Debug)]
pub(crate) struct Forest {
    pub(crate) kind: Kind,
    pub(crate) channels: usize,
    pub(crate) length: usize,
    pub(crate) samples: u64,
    pub(crate) nodes: Vec<Node>,
    /// Of each node the rows first_hi, first_lo, second_hi, second_lo, of whole vectors; of leaves that are raw still, zeros.
    pub(crate) values: Vec<f32>,
    pub(crate) leaves: Vec<Leaf>,
}

/// A leaf whose rows came in pieces.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// Its place among the nodes.
    pub(crate) place: usize,
    pub(crate) samples: u64,
    /// x, row by row.
    pub(crate) x: Vec<f32>,
    /// dy likewise, for backward sums.
    pub(crate) dy: Option<Vec<f32>>,
}

impl Forest {
    /// Takes the partials of a whole batch, end to end, apart.
    pub(crate) fn read(kind: Kind, bytes: &[u8]) -> Result<Self, GpuError> {
        let partials = Partial::list_from_bytes(bytes)?;
        let shaped = partials.iter().find(|partial| partial.samples() > 0).or(partials.first());
        let (channels, length) = shaped.map_or((1, 1), |partial| (partial.channels(), partial.length()));
        let (nodes, values, leaves) = (Vec::new(), Vec::new(), Vec::new());
        let mut forest = Self { kind, channels, length, samples: 0, nodes, values, leaves };
        let mut open = Vec::new();
        // Before anything is laid out: a header may tell of more than all memory.
        forest.expect_countable(&partials)?;
        for partial in &partials {
            forest.expect(partial)?;
            forest.push(partial, &mut open)?;
        }
        forest.close_leaf(&mut open);
        Ok(forest)
    }

    fn expect_countable(&self, partials: &[Partial]) -> Result<(), GpuError> {
        let samples = partials.iter().fold(0_u64, |sum, partial| sum.saturating_add(partial.samples()));
        let (values, most) = (samples.saturating_mul(self.length as u64), u64::from(u32::MAX));
        if values > most { Err(GpuError::TooManyValues { values, most }) } else { Ok(()) }
    }

    fn expect(&self, partial: &Partial) -> Result<(), KernelError> {
        if partial.kind() != self.kind {
            Err(KernelError::Kind { expected: self.kind, actual: partial.kind() })
        } else if partial.channels() != self.channels {
            Err(KernelError::Mismatch { what: "channels" })
        } else if partial.samples() > 0 && partial.length() != self.length {
            Err(KernelError::Mismatch { what: "length" })
        } else if partial.samples() > 0 && partial.first_sample() != self.samples {
            Err(KernelError::Gap { expected: self.samples, actual: partial.first_sample() })
        } else {
            Ok(())
        }
    }

    /// Appends a partial; `open` holds the rows of the leaf that is not complete yet.
    fn push(&mut self, partial: &Partial, open: &mut Vec<f32>) -> Result<(), KernelError> {
        open.extend_from_slice(partial.head());
        if open.len() == self.layout(0)?.leaf_samples() * self.sample_values() {
            self.close_leaf(open);
        }
        for (node, values) in partial.subtrees() {
            self.nodes.push(node);
            values.chunks_exact(self.channels).for_each(|row| self.push_pairs(row));
        }
        open.extend_from_slice(partial.tail());
        self.samples += partial.samples();
        Ok(())
    }

    /// Values of a sample of all inputs.
    fn sample_values(&self) -> usize {
        self.channels * self.length * if self.kind == Kind::Sums { 2 } else { 1 }
    }

    fn close_leaf(&mut self, open: &mut Vec<f32>) {
        if open.is_empty() {
            return;
        }
        let samples = (open.len() / self.sample_values()) as u64;
        let index = self.nodes.last().map_or(0, |node| (node.index + 1) << node.level);
        let rows = core::mem::take(open);
        let every_second =
            |first: usize| rows.chunks_exact(self.channels).skip(first).step_by(2).flatten().copied().collect();
        let (x, dy) = if self.kind == Kind::Sums { (every_second(1), Some(every_second(0))) } else { (rows, None) };
        self.leaves.push(Leaf { place: self.nodes.len(), samples, x, dy });
        self.nodes.push(Node { level: 0, index, samples });
        self.values.resize(self.values.len() + 4 * self.channels.next_multiple_of(4), 0.0);
    }

    #[allow(clippy::cast_possible_truncation, reason = "both halves are rounded")]
    fn push_pairs(&mut self, row: &[f64]) {
        let padding = self.channels.next_multiple_of(4) - self.channels;
        let hi = |value: &f64| *value as f32;
        let lo = |value: &f64| if hi(value).is_finite() { (value - f64::from(hi(value))) as f32 } else { 0.0 };
        self.values.extend(row.iter().map(hi).chain(core::iter::repeat_n(0.0, padding)));
        self.values.extend(row.iter().map(lo).chain(core::iter::repeat_n(0.0, padding)));
    }

    /// Rows are channels-last.
    pub(crate) fn layout(&self, samples: usize) -> Result<Layout, KernelError> {
        Layout::new(samples, self.channels, self.length, Format::ChannelsLast)
    }

    /// Leaves of the batch, the last of which may be incomplete.
    pub(crate) fn leaves_of_batch(&self) -> usize {
        self.nodes.last().map_or(0, |node| usize::try_from((node.index + 1) << node.level).unwrap_or(usize::MAX))
    }

    /// The level of each node.
    pub(crate) fn levels(&self) -> Vec<u32> {
        self.nodes.iter().map(|node| node.level).collect()
    }
}
