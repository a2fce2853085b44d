//! Rows of any width as rows of whole vectors.
//!
//! A row whose width is not a multiple of four is laid together with the rows that follow until it is: with 3 channels
//! four rows make one super-row of 12 columns, of which the columns 1, 4, 7, 10 belong to channel 1. What is reduced per
//! column is then folded to channels, and the few rows that do not fill a super-row are reduced by themselves.

use core::ops::Range;

use crate::layout::batch::{Format, Layout};
use crate::layout::transpose::transpose;
use crate::simd::Lanes;

/// Columns from which a row is long enough for a loop over its vectors.
pub(crate) const WIDE: usize = 64;

/// Columns that are read together where some of them need a second look: those of a line of cache.
pub(crate) const LINE: usize = 16;

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

    /// Whether some of the columns can be reduced without the others.
    pub(crate) fn can_be_cut(&self) -> bool {
        can_be_cut(self.channels)
    }

    /// Some of the columns.
    pub(crate) fn columns(&self, first: usize, width: usize) -> Self {
        Self { data: &self.data[first..], width, ..*self }
    }

    /// Some of the rows.
    pub(crate) fn rows(&self, first: usize, count: usize) -> Self {
        Self { data: &self.data[first * self.stride..], count, ..*self }
    }

    /// The super-rows, whose width is a multiple of four, and the rows left over. Rows of some of the channels must be wide
    /// enough by themselves.
    pub(crate) fn super_rows(&self) -> (Self, Self) {
        let factor = rows_per_super_row(self.channels, self.count);
        if factor == 1 {
            return (*self, Self { count: 0, ..*self });
        }
        let count = self.count / factor;
        let width = self.width * factor;
        let rest = Self { data: &self.data[count * width..], count: self.count % factor, ..*self };
        (Self { data: self.data, stride: width, count, width, channels: self.channels }, rest)
    }
}

/// Whether some columns of rows that have so many channels can be reduced without the others.
pub(crate) fn can_be_cut(channels: usize) -> bool {
    channels >= WIDE && channels.is_multiple_of(4)
}

/// Of how many rows a super-row consists, of `count` rows that have all channels. A function of these two numbers alone,
/// since the order of the arithmetic follows from it.
pub(crate) fn rows_per_super_row(channels: usize, count: usize) -> usize {
    let mut rows = 4 >> channels.trailing_zeros().min(2);
    while 2 * rows * channels <= WIDE && rows * WIDE <= count {
        rows *= 2;
    }
    rows
}

/// Channels whose planes are made rows together: the rows of a few leaves then stay in the first-level cache. Rows that
/// cannot be cut are made of all channels.
pub(crate) const GATHERED: usize = 2 * WIDE;

/// Copies some samples and channels into adjacent rows; `rows` has a place for each value.
pub(crate) fn gather_rows<V: Lanes>(
    data: &[f32],
    layout: &Layout,
    samples: Range<usize>,
    channels: Range<usize>,
    rows: &mut [f32],
) {
    let (all, length, width) = (layout.channels(), layout.length(), channels.len());
    for (sample, rows) in samples.zip(rows.chunks_exact_mut(length * width)) {
        let sample = &data[sample * all * length..][..all * length];
        match layout.format() {
            Format::ChannelsLast => {
                for (row, values) in rows.chunks_exact_mut(width).zip(sample.chunks_exact(all)) {
                    row.copy_from_slice(&values[channels.clone()]);
                }
            }
            Format::Contiguous => {
                transpose::<V>(&sample[channels.start * length..channels.end * length], length, rows, width);
            }
        }
    }
}
