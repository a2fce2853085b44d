//! Partials as bytes, so that they can travel between devices, workers and machines.
//!
//! Little-endian throughout: a header of 40 bytes (mark, kind, channels, length, first sample, samples), then the centre
//! (f32), the values of the nodes (f64) from left to right, the raw rows of head and tail (f32). How many there are of
//! each follows from the header, so that a partial of the wrong size is told from a good one and several can be laid end
//! to end.

use alloc::vec::Vec;

use crate::error::KernelError;
use crate::kind::Kind;
use crate::layout::leaf_samples;
use crate::partial::monoid::{Cuts, Partial, cuts, end_of_samples};
use crate::tree::{Node, subtrees};

/// `SBN1`: the format and its version.
const MARK: u32 = u32::from_le_bytes(*b"SBN1");

impl Kind {
    /// The kind of a number that `as u32` made.
    ///
    /// # Errors
    /// [`KernelError::Damaged`] if there is none.
    pub fn from_number(number: u32) -> Result<Self, KernelError> {
        let kinds = [Self::Moments, Self::Total, Self::Deviations, Self::Sums];
        let kind = kinds.into_iter().find(|kind| *kind as u32 == number);
        kind.ok_or(KernelError::Damaged { reason: "the kind is unknown" })
    }
}

/// The numbers that say how long everything else is.
struct Header {
    kind: Kind,
    channels: usize,
    length: usize,
    first: u64,
    samples: u64,
}

impl Partial {
    /// The bytes that [`Partial::from_bytes`] reads.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let values = self.nodes.values();
        let floats = self.centre.len() + self.head.len() + self.tail.len();
        let mut bytes = Vec::with_capacity(40 + 4 * floats + 8 * values.len());
        bytes.extend(MARK.to_le_bytes());
        bytes.extend((self.kind as u32).to_le_bytes());
        bytes.extend((self.channels as u64).to_le_bytes());
        bytes.extend((self.length as u64).to_le_bytes());
        bytes.extend(self.first.to_le_bytes());
        bytes.extend(self.samples.to_le_bytes());
        bytes.extend(self.centre.iter().flat_map(|value| value.to_le_bytes()));
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        bytes.extend(self.head.iter().chain(&self.tail).flat_map(|value| value.to_le_bytes()));
        bytes
    }

    /// Reads one partial, which must be all there is.
    ///
    /// # Errors
    /// [`KernelError::Damaged`] if the bytes are not a partial.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KernelError> {
        match Self::read(bytes)? {
            (partial, []) => Ok(partial),
            _ => Err(KernelError::Damaged { reason: "bytes are left at the end" }),
        }
    }

    /// Reads partials laid end to end and merges them.
    ///
    /// # Errors
    /// [`KernelError::Damaged`] if the bytes are not partials, and as [`Partial::merge`].
    pub fn merge_bytes(bytes: &[u8]) -> Result<Self, KernelError> {
        let (mut merged, mut rest) = Self::read(bytes)?;
        while !rest.is_empty() {
            let (partial, left) = Self::read(rest)?;
            merged.merge(partial)?;
            rest = left;
        }
        Ok(merged)
    }

    /// Reads partials laid end to end, of which there must be one at least.
    ///
    /// # Errors
    /// [`KernelError::Damaged`] if the bytes are not partials.
    pub fn list_from_bytes(bytes: &[u8]) -> Result<Vec<Self>, KernelError> {
        let (first, mut rest) = Self::read(bytes)?;
        let mut partials = vec![first];
        while !rest.is_empty() {
            let (partial, left) = Self::read(rest)?;
            partials.push(partial);
            rest = left;
        }
        Ok(partials)
    }

    fn read(bytes: &[u8]) -> Result<(Self, &[u8]), KernelError> {
        let mut reader = Reader { bytes };
        let header = reader.header()?;
        let leaf = leaf_samples(header.length) as u64;
        let end = header.first + header.samples;
        let Cuts { head_end, tail_begin } = cuts(header.first, end, leaf);
        let mut partial = Self::empty(header.kind, header.channels, header.length, header.first, &[]);
        partial.samples = header.samples;
        let row = header.channels * header.kind.inputs() * header.length;
        if header.kind.has_centre() {
            partial.centre = reader.floats(header.channels as u64, 1)?;
        }
        for (level, index) in subtrees(head_end / leaf, tail_begin / leaf) {
            let values = reader.doubles(header.channels * header.kind.values())?;
            let samples = leaf << level;
            partial.nodes.push(Node { level, index, samples }, |slot| slot.copy_from_slice(&values));
        }
        partial.head = reader.floats(head_end - header.first, row)?;
        partial.tail = reader.floats(end - tail_begin, row)?;
        Ok((partial, reader.bytes))
    }
}

/// Takes values from the front of bytes; never reserves memory for what is not there.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: Option<usize>) -> Result<&'a [u8], KernelError> {
        let (taken, rest) = count
            .and_then(|count| self.bytes.split_at_checked(count))
            .ok_or(KernelError::Damaged { reason: "bytes are missing" })?;
        self.bytes = rest;
        Ok(taken)
    }

    fn floats(&mut self, rows: u64, row: usize) -> Result<Vec<f32>, KernelError> {
        let count = usize::try_from(rows).ok().and_then(|rows| rows.checked_mul(row)?.checked_mul(4));
        let (values, _) = self.take(count)?.as_chunks();
        Ok(values.iter().map(|value| f32::from_le_bytes(*value)).collect())
    }

    fn doubles(&mut self, count: usize) -> Result<Vec<f64>, KernelError> {
        let (values, _) = self.take(count.checked_mul(8))?.as_chunks();
        Ok(values.iter().map(|value| f64::from_le_bytes(*value)).collect())
    }

    fn word(&mut self) -> Result<u32, KernelError> {
        let (words, _) = self.take(Some(4))?.as_chunks();
        Ok(words.first().map_or(0, |word| u32::from_le_bytes(*word)))
    }

    fn long(&mut self) -> Result<u64, KernelError> {
        let (longs, _) = self.take(Some(8))?.as_chunks();
        Ok(longs.first().map_or(0, |long| u64::from_le_bytes(*long)))
    }

    fn header(&mut self) -> Result<Header, KernelError> {
        let damaged = |reason| KernelError::Damaged { reason };
        if self.word()? != MARK {
            return Err(damaged("they do not begin with the mark of a partial"));
        }
        let kind = Kind::from_number(self.word()?)?;
        let [channels, length, first, samples] = [self.long()?, self.long()?, self.long()?, self.long()?];
        let small = |number: u64| u32::try_from(number).ok().filter(|number| *number > 0);
        let (Some(channels), Some(length)) = (small(channels), small(length)) else {
            return Err(damaged("channels or length are out of range"));
        };
        if end_of_samples(first, samples, length as usize).is_err() {
            return Err(damaged("a batch cannot have so many samples"));
        }
        let row = (channels as usize).checked_mul(length as usize).and_then(|row| row.checked_mul(64));
        row.ok_or(damaged("channels and length are out of range"))?;
        Ok(Header { kind, channels: channels as usize, length: length as usize, first, samples })
    }
}
