//! What a replica sends: the subtrees of its range of samples and the raw values at the two ends.
//!
//! A partial covers the global samples [first, first + samples). Its complete leaves are reduced to maximal subtrees of
//! the canonical tree. The samples at either end that belong to a leaf the replica holds only in part stay raw, so that
//! whoever holds the rest computes the leaf as if it had never been cut. Partials of adjacent ranges merge to the partial
//! of their union: a monoid, whose identity is any partial without samples.

use alloc::vec::Vec;

use crate::error::KernelError;
use crate::kind::Kind;
use crate::layout::leaf_samples;
use crate::reduce::Reduction;
use crate::simd::Native;
use crate::tree::{Forest, Merged, Node};

/// A reduction of a range of samples; see the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Partial {
    pub(crate) kind: Kind,
    pub(crate) channels: usize,
    pub(crate) length: usize,
    pub(crate) first: u64,
    pub(crate) samples: u64,
    /// m of `deviations`, one value per channel; empty for the other kinds.
    pub(crate) centre: Vec<f32>,
    pub(crate) nodes: Forest,
    /// Raw rows from `first` to the end of the leaf it lies in, if it is not the beginning of that leaf.
    pub(crate) head: Vec<f32>,
    /// Raw rows of the last leaf, if it is not complete and begins in this partial.
    pub(crate) tail: Vec<f32>,
}

/// The cuts of a range of samples: its head is [first, head_end), its tail [tail_begin, end).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cuts {
    /// The first sample that begins a leaf.
    pub head_end: u64,
    /// The end of the last complete leaf.
    pub tail_begin: u64,
}

/// Where the complete leaves of [first, end) begin and end, a leaf having `leaf` samples.
#[must_use]
pub fn cuts(first: u64, end: u64, leaf: u64) -> Cuts {
    let head_end = first.next_multiple_of(leaf).min(end);
    Cuts { head_end, tail_begin: (end - end % leaf).max(head_end) }
}

/// Samples of the largest batch: GPUs number them in 32 bits.
pub(crate) const MOST_SAMPLES: u64 = u32::MAX as u64;
/// Values per channel of the largest batch: numbers up to this one are exact in f64.
pub(crate) const MOST_VALUES: u64 = 1 << 53;

/// The end of the samples that begin with `first`, each having `length` values per channel.
///
/// # Errors
/// [`KernelError::Samples`] if a batch cannot have so many.
pub(crate) fn end_of_samples(first: u64, samples: u64, length: usize) -> Result<u64, KernelError> {
    let end = first.checked_add(samples).filter(|end| *end <= MOST_SAMPLES);
    let values = end.and_then(|end| end.checked_mul(length as u64)).filter(|values| *values <= MOST_VALUES);
    end.filter(|_| values.is_some()).ok_or(KernelError::Samples { first, samples, length })
}

impl Partial {
    /// A partial without samples.
    pub(crate) fn empty(kind: Kind, channels: usize, length: usize, first: u64, centre: &[f32]) -> Self {
        Self {
            kind,
            channels,
            length,
            first,
            samples: 0,
            centre: centre.to_vec(),
            nodes: Forest::new(kind, channels, length),
            head: Vec::new(),
            tail: Vec::new(),
        }
    }

    /// What the partial holds.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Global number of the first sample.
    #[must_use]
    pub fn first_sample(&self) -> u64 {
        self.first
    }

    /// Samples covered.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// C.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    pub(crate) fn end(&self) -> u64 {
        self.first + self.samples
    }

    pub(crate) fn leaf(&self) -> u64 {
        leaf_samples(self.length) as u64
    }

    /// Appends the partial of the samples that follow. A partial without samples changes nothing, wherever it lies.
    ///
    /// # Errors
    /// If the two are not parts of one batch ([`KernelError::Kind`], [`KernelError::Mismatch`]) or not adjacent
    /// ([`KernelError::Gap`]).
    pub fn merge(&mut self, right: Self) -> Result<(), KernelError> {
        self.expect_same_batch(&right)?;
        if right.samples == 0 {
            return Ok(());
        }
        if self.samples == 0 {
            *self = right;
            return Ok(());
        }
        if right.first != self.end() {
            return Err(KernelError::Gap { expected: self.end(), actual: right.first });
        }
        let leaf = self.leaf();
        if cuts(self.first, self.end(), leaf).head_end < self.first.next_multiple_of(leaf) {
            // The left one ends inside the leaf in which it begins: it is nothing but a head.
            self.head.extend_from_slice(&right.head);
            self.nodes = right.nodes;
            self.tail = right.tail;
        } else {
            self.tail.extend_from_slice(&right.head);
            if (right.first + right.samples) / leaf > right.first / leaf {
                self.close_leaf(right.first / leaf, leaf);
                self.nodes.append(&right.nodes);
                self.tail.extend_from_slice(&right.tail);
            } else if right.first.is_multiple_of(leaf) {
                // The right one is nothing but a tail.
                self.tail.extend_from_slice(&right.tail);
            }
        }
        self.samples += right.samples;
        Ok(())
    }

    /// Reduces a partial of a whole batch.
    ///
    /// # Errors
    /// [`KernelError::Gap`] if it does not begin with sample 0.
    pub fn finish(mut self) -> Result<Merged, KernelError> {
        if self.samples > 0 && self.first != 0 {
            return Err(KernelError::Gap { expected: 0, actual: self.first });
        }
        let leaf = self.leaf();
        self.close_leaf(self.end() / leaf, self.end() % leaf);
        let (samples, values) = self.nodes.into_root();
        Ok(Merged { kind: self.kind, count: samples * self.length as u64, values, centre: self.centre })
    }

    /// Turns the raw rows of the tail, if there are any, into the leaf of that number.
    fn close_leaf(&mut self, index: u64, samples: u64) {
        if self.tail.is_empty() {
            return;
        }
        let (kind, channels, tail) = (self.kind, self.channels, &self.tail);
        let node = Node { level: 0, index, samples };
        self.nodes.push(node, |slot| Reduction::<Native>::reduce_edges(kind, channels, tail, slot));
        self.tail.clear();
    }

    fn expect_same_batch(&self, other: &Self) -> Result<(), KernelError> {
        let same_centre = self.centre.iter().map(|m| m.to_bits()).eq(other.centre.iter().map(|m| m.to_bits()));
        if self.kind != other.kind {
            Err(KernelError::Kind { expected: self.kind, actual: other.kind })
        } else if self.channels != other.channels {
            Err(KernelError::Mismatch { what: "channels" })
        } else if self.length != other.length && self.samples > 0 && other.samples > 0 {
            Err(KernelError::Mismatch { what: "length" })
        } else if !same_centre {
            Err(KernelError::Mismatch { what: "centre" })
        } else {
            Ok(())
        }
    }
}
