//! Sums of planes and of rows: the loops below all statistics.
//!
//! Terms are f32. Those of a plane are added in pairs, eight at a time, before they go to an accumulator, so that little is
//! lost beside a large value. f32 accumulators take at most 64 sums and are then added to f64; for `torch` numerics all is
//! added in f64.

use alloc::vec::Vec;
use core::ops::Range;

use crate::layout::Rows;
use crate::simd::Arithmetic;
use crate::simd::{Doubles, Lanes};

/// What is summed: `SUMS` functions of the `INPUTS` elements at one place and their centre.
pub(crate) trait Terms<const INPUTS: usize, const SUMS: usize> {
    /// Whether the f32 terms are added in f64.
    const IN_F64: bool = false;

    fn of_vectors<V: Lanes>(inputs: [V; INPUTS], centre: V) -> [V; SUMS];

    fn of_scalars(inputs: [f32; INPUTS], centre: f32) -> [f32; SUMS];
}

/// Vectors of a plane that go to the same f32 accumulators, of which there are two.
pub(crate) const PLANE_BLOCK: usize = 256;
/// Rows that go to the same f32 accumulators, four at a time.
pub(crate) const ROWS_BLOCK: usize = 256;
/// Rows that are added before they go to an accumulator.
pub(crate) const GROUP: usize = 4;
/// Columns up to which rows are narrow, and those of a group are adjacent. Four wide ones are taken from the four quarters of
/// a block: hardware fetches ahead along each quarter, but not along rows that lie 512 bytes apart and are read by turns, and
/// from main memory that takes three times as long.
pub(crate) const NARROW: usize = 64;
/// Columns that are reduced together: their accumulators stay in the first-level cache.
pub(crate) const STRIP: usize = 2048;

/// Sums over a plane.
pub(crate) fn sums_of_plane<V: Lanes, T: Terms<INPUTS, SUMS>, const INPUTS: usize, const SUMS: usize>(
    inputs: [&[f32]; INPUTS],
    centre: f32,
) -> [f64; SUMS] {
    let length = inputs[0].len();
    let vectors = inputs.map(|input| &input.as_chunks::<4>().0[..length / 4]);
    let mut sums = [[V::Doubles::zero(); 2]; SUMS];
    for begin in (0..length / 4).step_by(PLANE_BLOCK) {
        let block = vectors.map(|vectors| &vectors[begin..(begin + PLANE_BLOCK).min(length / 4)]);
        add_block::<V, T, INPUTS, SUMS>(block, V::splat(centre), &mut sums);
    }
    let mut sums = sums.map(|[low, high]| (low + high).sum());
    for i in length / 4 * 4..length {
        add_scalars(&mut sums, T::of_scalars(inputs.map(|input| input[i]), centre));
    }
    sums
}

#[inline(always)]
fn add_block<V: Lanes, T: Terms<INPUTS, SUMS>, const INPUTS: usize, const SUMS: usize>(
    inputs: [&[[f32; 4]]; INPUTS],
    centre: V,
    sums: &mut [[V::Doubles; 2]; SUMS],
) {
    let parts = inputs.map(|input| input.as_chunks::<8>());
    let [mut even, mut odd] = [[V::zero(); SUMS]; 2];
    for i in 0..parts[0].0.len() {
        let groups = parts.map(|(groups, _)| &groups[i]);
        let terms: [[V; SUMS]; 8] =
            core::array::from_fn(|j| T::of_vectors(groups.map(|group| V::load(&group[j])), centre));
        if T::IN_F64 {
            *sums = core::array::from_fn(|sum| add_wide::<V>(sums[sum], pairwise_wide(terms.map(|terms| terms[sum]))));
        } else {
            (even, odd) = (odd, core::array::from_fn(|sum| even[sum] + pairwise(terms.map(|terms| terms[sum]))));
        }
    }
    for i in 0..parts[0].1.len() {
        let terms = T::of_vectors(parts.map(|(_, rest)| V::load(&rest[i])), centre);
        if T::IN_F64 {
            *sums = core::array::from_fn(|sum| add_wide::<V>(sums[sum], terms[sum].widen()));
        } else {
            even = core::array::from_fn(|sum| even[sum] + terms[sum]);
        }
    }
    if !T::IN_F64 {
        *sums = core::array::from_fn(|sum| add_wide::<V>(sums[sum], (even[sum] + odd[sum]).widen()));
    }
}

/// Sums over rows of equal shape, per channel: one row of `out` per sum. `centre` has a value per channel of the rows; absent
/// it is 0.
pub(crate) fn sums_of_rows<V: Lanes, T: Terms<INPUTS, SUMS>, const INPUTS: usize, const SUMS: usize>(
    inputs: [Rows<'_>; INPUTS],
    centre: Option<&[f32]>,
    out: &mut [f64],
) {
    let width = inputs[0].width;
    let parts = inputs.map(|rows| rows.super_rows());
    let super_rows = parts.map(|(super_rows, _)| super_rows);
    let columns = super_rows[0].width;
    if columns == width {
        sums_of_columns::<V, T, INPUTS, SUMS>(super_rows, centre, out);
        return;
    }
    let repeated = centre.map(|centre| centre.repeat(columns / width));
    let mut of_columns = vec![0.0; SUMS * columns];
    sums_of_columns::<V, T, INPUTS, SUMS>(super_rows, repeated.as_deref(), &mut of_columns);
    out.fill(0.0);
    for (sums, of_columns) in out.chunks_exact_mut(width).zip(of_columns.chunks_exact(columns)) {
        for part in of_columns.chunks_exact(width) {
            for (sum, of_column) in sums.iter_mut().zip(part) {
                *sum += of_column;
            }
        }
    }
    let rest = parts.map(|(_, rest)| rest);
    for row in 0..rest[0].count {
        for channel in 0..width {
            let values = rest.map(|rows| rows.row(row)[channel]);
            let terms = T::of_scalars(values, centre.map_or(0.0, |centre| centre[channel]));
            for (sum, term) in terms.into_iter().enumerate() {
                out[sum * width + channel] += f64::from(term);
            }
        }
    }
}

fn sums_of_columns<V: Lanes, T: Terms<INPUTS, SUMS>, const INPUTS: usize, const SUMS: usize>(
    inputs: [Rows<'_>; INPUTS],
    centre: Option<&[f32]>,
    out: &mut [f64],
) {
    let all = inputs[0].width;
    out.fill(0.0);
    // Fewer rows than a super-row consists of make none: its columns would lie beyond the end of the data.
    if inputs[0].count == 0 {
        return;
    }
    for (first, width) in strips(all) {
        let zeros = vec![0.0; width];
        let centre = centre.map_or(&zeros[..], |centre| &centre[first..first + width]);
        let strip = Strip { inputs: inputs.map(|rows| rows.columns(first, width)), centre, zeros: &zeros };
        for begin in (0..inputs[0].count).step_by(ROWS_BLOCK) {
            let rows = begin..(begin + ROWS_BLOCK).min(inputs[0].count);
            let mut out = out.chunks_exact_mut(all);
            let sums = core::array::from_fn(|_| out.next().map_or(&mut [][..], |sums| &mut sums[first..][..width]));
            strip.add_rows::<V, T, SUMS>(rows, sums);
        }
    }
}

/// The first column and the width of each strip of columns.
pub(crate) fn strips(columns: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..columns).step_by(STRIP).map(move |first| (first, STRIP.min(columns - first)))
}

/// Some columns of all rows.
pub(crate) struct Strip<'a, const INPUTS: usize> {
    pub(crate) inputs: [Rows<'a>; INPUTS],
    pub(crate) centre: &'a [f32],
    pub(crate) zeros: &'a [f32],
}

/// What is known of four columns. Centre and sums lie together, so that a loop over cells has one address to keep for them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell<const SUMS: usize> {
    pub(crate) centre: [f32; 4],
    pub(crate) sums: [[f32; 4]; SUMS],
}

impl<'a, const INPUTS: usize> Strip<'a, INPUTS> {
    /// A cell for each vector of columns, without rows.
    pub(crate) fn cells<const SUMS: usize>(&self) -> Vec<Cell<SUMS>> {
        let centres = self.centre.as_chunks().0.iter();
        centres.map(|centre| Cell { centre: *centre, sums: [[0.0; 4]; SUMS] }).collect()
    }

    /// Adds the sums of some rows, at most [`ROWS_BLOCK`], to `sums`.
    fn add_rows<V: Lanes, T: Terms<INPUTS, SUMS>, const SUMS: usize>(
        &self,
        rows: Range<usize>,
        sums: [&mut [f64]; SUMS],
    ) {
        if T::IN_F64 {
            self.add_rows_in_f64::<V, T, SUMS>(rows, sums);
            return;
        }
        let mut sums = sums.map(|sums| sums.as_chunks_mut::<4>().0);
        let mut cells = self.cells::<SUMS>();
        self.add_rows_in_f32::<V, T, SUMS>(rows, &mut cells);
        for (i, cell) in cells.iter().enumerate() {
            for (sums, sum) in sums.iter_mut().zip(&cell.sums) {
                add_to::<V>(&mut sums[i], V::load(sum).widen());
            }
        }
    }

    /// The same in f64 throughout.
    fn add_rows_in_f64<V: Lanes, T: Terms<INPUTS, SUMS>, const SUMS: usize>(
        &self,
        rows: Range<usize>,
        sums: [&mut [f64]; SUMS],
    ) {
        let count = self.centre.len() / 4;
        let centre = &self.centre.as_chunks::<4>().0[..count];
        let mut sums = sums.map(|sums| &mut sums.as_chunks_mut::<4>().0[..count]);
        self.for_groups(rows, count, |i, group| {
            let terms = terms::<V, T, INPUTS, SUMS>(group, &centre[i]);
            for (number, sums) in sums.iter_mut().enumerate() {
                let terms = terms.map(|terms| terms[number].widen());
                add_to::<V>(&mut sums[i], core::array::from_fn(|half| of_rows(terms.map(|term| term[half]))));
            }
        });
    }

    /// The same in f32. One copy of the loop serves all who sum these terms.
    #[inline(never)]
    pub(crate) fn add_rows_in_f32<V: Lanes, T: Terms<INPUTS, SUMS>, const SUMS: usize>(
        &self,
        rows: Range<usize>,
        cells: &mut [Cell<SUMS>],
    ) {
        let count = cells.len();
        self.for_groups(rows, count, |i, group| {
            let cell = &mut cells[i];
            let terms = terms::<V, T, INPUTS, SUMS>(group, &cell.centre);
            for (number, sum) in cell.sums.iter_mut().enumerate() {
                (V::load(sum) + of_rows(terms.map(|terms| terms[number]))).store(sum);
            }
        });
    }

    /// Hands out each group of rows at each of `count` vectors of columns.
    #[inline(always)]
    fn for_groups(&self, rows: Range<usize>, count: usize, mut take: impl FnMut(usize, [[&[f32; 4]; INPUTS]; GROUP])) {
        let groups = rows.len().div_ceil(GROUP);
        let is_narrow = self.inputs[0].width.max(self.inputs[0].channels) <= NARROW;
        let (between_groups, within_group) = if is_narrow { (GROUP, 1) } else { (1, groups) };
        for group in 0..groups {
            let first = rows.start + group * between_groups;
            let row = |i: usize| self.row(first + i * within_group, rows.end).map(|input| &input[..count]);
            let group = [row(0), row(1), row(2), row(3)];
            for i in 0..count {
                take(i, group.map(|inputs| inputs.map(|input| &input[i])));
            }
        }
    }

    /// A row of each input; after the last row, values whose terms are 0.
    #[inline(always)]
    fn row(&self, row: usize, end: usize) -> [&'a [[f32; 4]]; INPUTS] {
        core::array::from_fn(|k| match (row < end, k + 1 == INPUTS) {
            (true, _) => self.inputs[k].row(row).as_chunks().0,
            (false, true) => self.centre.as_chunks().0,
            (false, false) => self.zeros.as_chunks().0,
        })
    }
}

/// The terms of a group of rows at one vector of columns.
#[inline(always)]
fn terms<V: Lanes, T: Terms<INPUTS, SUMS>, const INPUTS: usize, const SUMS: usize>(
    group: [[&[f32; 4]; INPUTS]; GROUP],
    centre: &[f32; 4],
) -> [[V; SUMS]; GROUP] {
    let centre = V::load(centre);
    group.map(|inputs| T::of_vectors(inputs.map(V::load), centre))
}

/// The sum of a group of rows, in pairs.
#[inline(always)]
fn of_rows<T: Arithmetic>([a, b, c, d]: [T; GROUP]) -> T {
    (a + b) + (c + d)
}

/// The sum of eight vectors, in pairs.
#[inline(always)]
fn pairwise<V: Lanes>([a, b, c, d, e, f, g, h]: [V; 8]) -> V {
    ((a + b) + (c + d)) + ((e + f) + (g + h))
}

/// The same in f64.
#[inline(always)]
fn pairwise_wide<V: Lanes>(terms: [V; 8]) -> [V::Doubles; 2] {
    let [a, b, c, d, e, f, g, h] = terms.map(V::widen);
    core::array::from_fn(|i| ((a[i] + b[i]) + (c[i] + d[i])) + ((e[i] + f[i]) + (g[i] + h[i])))
}

#[inline(always)]
fn add_wide<V: Lanes>(sum: [V::Doubles; 2], terms: [V::Doubles; 2]) -> [V::Doubles; 2] {
    [sum[0] + terms[0], sum[1] + terms[1]]
}

#[inline(always)]
fn add_to<V: Lanes>(sums: &mut [f64; 4], [low, high]: [V::Doubles; 2]) {
    if let ([first, second], []) = sums.as_chunks_mut() {
        (V::Doubles::load(first) + low).store(first);
        (V::Doubles::load(second) + high).store(second);
    }
}

#[inline(always)]
fn add_scalars<const SUMS: usize>(sums: &mut [f64; SUMS], terms: [f32; SUMS]) {
    for (sum, term) in sums.iter_mut().zip(terms) {
        *sum += f64::from(term);
    }
}
