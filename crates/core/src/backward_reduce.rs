//! Σdy and Σdy·(x − mean): what the backward pass needs of the whole batch.
//!
//! Like the moments, accumulated in f32 within a block and in f64 across blocks. Only `mean_hi` is subtracted here;
//! `mean_lo` is taken into account once, at the end: Σdy·(x − mean) = Σdy·(x − hi) − lo·Σdy.

use core::marker::PhantomData;

use crate::column_sums::{Terms, sums_of_rows};
use crate::elementwise::Arithmetic;
use crate::error::{KernelError, expect_length};
use crate::kind::Kind;
use crate::layout::Layout;
use crate::moments::pairwise;
use crate::partial::Partial;
use crate::reduce::{self, Reduction, Rows};
use crate::simd::{Lanes, Native};
use crate::statistics::{STATISTICS_ROWS, Statistics};

/// Values of a block; an f32 accumulator adds at most 16 sums of eight of them.
const BLOCK: usize = 1024;

/// The reduction to Σdy and Σdy·(x − mean_hi).
pub(crate) struct BackwardReduce<'a, V> {
    mean: &'a [f32],
    lanes: PhantomData<V>,
}

impl<'a, V> BackwardReduce<'a, V> {
    pub(crate) fn from(mean: &'a [f32]) -> Self {
        Self { mean, lanes: PhantomData }
    }
}

/// Partial backward sums of a shard whose first sample has the global number `first_sample`.
///
/// # Errors
/// If an argument is not as long as the layout says.
pub fn backward_reduce(
    dy: &[f32],
    x: &[f32],
    statistics: &[f32],
    layout: &Layout,
    first_sample: u64,
) -> Result<Partial, KernelError> {
    layout.expect_tensor("dy", dy)?;
    layout.expect_tensor("x", x)?;
    expect_length("statistics", statistics.len(), STATISTICS_ROWS * layout.channels())?;
    let mean = Statistics::of(statistics).mean_hi;
    reduce::partial(&BackwardReduce::<Native>::from(mean), layout, [dy, x], first_sample)
}

/// dy and dy·(x − hi).
struct Products;

impl Products {
    fn at<T: Arithmetic>([dy, x]: [T; 2], centre: T) -> [T; 2] {
        [dy, dy * (x - centre)]
    }
}

impl Terms<2, 2> for Products {
    const IN_F64: bool = false;

    #[inline(always)]
    fn of_vectors<V: Lanes>(inputs: [V; 2], centre: V) -> [V; 2] {
        Self::at(inputs, centre)
    }

    #[inline(always)]
    fn of_scalars(inputs: [f32; 2], centre: f32) -> [f32; 2] {
        Self::at(inputs, centre)
    }
}

impl<V: Lanes> Reduction<2> for BackwardReduce<'_, V> {
    fn kind(&self) -> Kind {
        Kind::Sums
    }

    fn centre(&self) -> Option<&[f32]> {
        Some(self.mean)
    }

    fn planes(&self, [dy, x]: [&[f32]; 2], length: usize, first_channel: usize, out: &mut [f64]) {
        let planes = dy.chunks_exact(length).zip(x.chunks_exact(length)).zip(&self.mean[first_channel..]);
        let (sum_dy, sum_dy_xmu) = out.split_at_mut(out.len() / 2);
        for (((dy, x), mean), (sum_dy, sum_dy_xmu)) in planes.zip(sum_dy.iter_mut().zip(sum_dy_xmu)) {
            [*sum_dy, *sum_dy_xmu] = sums_of_plane::<V>(dy, x, *mean);
        }
    }

    fn rows(&self, inputs: [Rows<'_>; 2], first_channel: usize, centred: bool, out: &mut [f64]) {
        let mean = if centred { None } else { Some(&self.mean[first_channel..][..inputs[0].width]) };
        sums_of_rows::<V, Products, 2, 2>(inputs, mean, out);
    }
}

fn sums_of_plane<V: Lanes>(dy: &[f32], x: &[f32], mean: f32) -> [f64; 2] {
    let mut sums = [0.0, 0.0];
    for (dy, x) in dy.chunks(BLOCK).zip(x.chunks(BLOCK)) {
        let of_block = sums_of_block::<V>(dy, x, mean);
        for (sum, of_block) in sums.iter_mut().zip(of_block) {
            *sum += f64::from(of_block);
        }
    }
    sums
}

/// The sums of a block, 32 values at a time, in two accumulators each by turns.
#[inline(always)]
fn sums_of_block<V: Lanes>(dy: &[f32], x: &[f32], mean: f32) -> [f32; 2] {
    let ((dy_vectors, dy_tail), (x_vectors, x_tail)) = (dy.as_chunks::<4>(), x.as_chunks::<4>());
    let ((dy_groups, dy_rest), (x_groups, x_rest)) = (dy_vectors.as_chunks::<8>(), x_vectors.as_chunks::<8>());
    let centre = V::splat(mean);
    let [mut even, mut odd] = [[V::zero(); 2]; 2];
    for (dy, x) in dy_groups.iter().zip(x_groups) {
        let terms: [[V; 2]; 8] = core::array::from_fn(|i| Products::at([V::load(&dy[i]), V::load(&x[i])], centre));
        let next = core::array::from_fn(|sum| even[sum] + pairwise(terms.map(|terms| terms[sum])));
        (even, odd) = (odd, next);
    }
    for (dy, x) in dy_rest.iter().zip(x_rest) {
        let terms = Products::at([V::load(dy), V::load(x)], centre);
        even = core::array::from_fn(|sum| even[sum] + terms[sum]);
    }
    let mut sums = core::array::from_fn(|sum| (even[sum] + odd[sum]).sum());
    for (dy, x) in dy_tail.iter().zip(x_tail) {
        let terms = Products::at([*dy, *x], mean);
        sums = core::array::from_fn(|sum| sums[sum] + terms[sum]);
    }
    sums
}
