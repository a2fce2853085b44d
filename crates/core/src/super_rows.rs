//! Rows of any width as rows of whole vectors.
//!
//! A row whose width is not a multiple of four is laid together with the rows that follow until it is: with 3 channels
//! four rows make one super-row of 12 columns, of which the columns 1, 4, 7, 10 belong to channel 1. What is reduced per
//! column is then folded to channels, and up to three rows that do not fill a super-row are reduced by themselves.

use crate::reduce::Rows;

/// Columns that are reduced together: with its accumulators a strip stays in the first-level cache.
pub(crate) const STRIP: usize = 256;

/// Columns from which a super-row is long enough for a loop over its vectors.
pub(crate) const WIDE: usize = 64;

/// Of how many rows a super-row consists, of `count` rows that have all channels. A function of these two numbers alone,
/// since the order of the arithmetic follows from it.
fn rows_per_super_row(channels: usize, count: usize) -> usize {
    let mut rows = 4 >> channels.trailing_zeros().min(2);
    while rows * channels < WIDE && rows * WIDE <= count {
        rows *= 2;
    }
    rows
}

impl<'a> Rows<'a> {
    /// The super-rows, whose width is a multiple of four, and the rows left over. Rows of some of the channels must be wide
    /// enough by themselves.
    pub(crate) fn super_rows(&self) -> (Rows<'a>, Rows<'a>) {
        let factor = rows_per_super_row(self.channels, self.count);
        if factor == 1 {
            return (*self, Rows { count: 0, ..*self });
        }
        let count = self.count / factor;
        let width = self.width * factor;
        let rest = Rows { data: &self.data[count * width..], count: self.count % factor, ..*self };
        (Rows { data: self.data, stride: width, count, width, channels: self.channels }, rest)
    }

    /// The vectors of row `index` in the columns from `first` of a strip of `width`.
    #[inline(always)]
    pub(crate) fn vectors(&self, index: usize, first: usize, width: usize) -> &'a [[f32; 4]] {
        self.data[index * self.stride + first..][..width].as_chunks().0
    }
}

/// Values per channel repeated for the columns of a strip of super-rows.
pub(crate) fn repeat(values: &[f32], first_column: usize, strip: &mut [f32]) {
    let mut rest = strip;
    let mut begin = first_column % values.len();
    while !rest.is_empty() {
        let count = rest.len().min(values.len() - begin);
        let (filled, unfilled) = rest.split_at_mut(count);
        filled.copy_from_slice(&values[begin..begin + count]);
        (rest, begin) = (unfilled, 0);
    }
}
