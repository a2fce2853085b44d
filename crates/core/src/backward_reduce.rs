//! Σdy and Σdy·(x − mean): what the backward pass needs of the whole batch.
//!
//! Like the moments, accumulated in f32 within a block and in f64 across blocks. Only `mean_hi` is subtracted here;
//! `mean_lo` is taken into account once, at the end: Σdy·(x − mean) = Σdy·(x − hi) − lo·Σdy.

use crate::error::{KernelError, expect_length};
use crate::kind::Kind;
use crate::layout::Layout;
use crate::partial::Partial;
use crate::reduce::{self, Reduction, Rows};
use crate::statistics::Statistics;

/// Values of a block; one f32 accumulator adds at most 64 of them.
const BLOCK: usize = 64;

/// The reduction to Σdy and Σdy·(x − mean_hi).
pub(crate) struct BackwardReduce<'a> {
    pub(crate) mean: &'a [f32],
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
    expect_length("statistics", statistics.len(), 3 * layout.channels())?;
    let mean = Statistics::of(statistics).mean_hi;
    reduce::partial(&BackwardReduce { mean }, layout, [dy, x], first_sample)
}

impl Reduction<2> for BackwardReduce<'_> {
    fn kind(&self) -> Kind {
        Kind::Sums
    }

    fn centre(&self) -> Option<&[f32]> {
        Some(self.mean)
    }

    fn planes(&self, [dy, x]: [&[f32]; 2], length: usize, first_channel: usize, out: &mut [f64]) {
        let planes = dy.chunks_exact(length).zip(x.chunks_exact(length)).zip(&self.mean[first_channel..]);
        let (sum_dy, sum_dy_xmu) = out.split_at_mut(out.len() / 2);
        for (((dy, x), mean), out) in planes.zip(sum_dy.iter_mut().zip(sum_dy_xmu)) {
            let [a, b] = blocks(dy, x, *mean);
            (*out.0, *out.1) = (a, b);
        }
    }

    fn rows(&self, [dy, x]: [Rows<'_>; 2], first_channel: usize, centred: bool, out: &mut [f64]) {
        let (sum_dy, sum_dy_xmu) = out.split_at_mut(out.len() / 2);
        for (channel, out) in sum_dy.iter_mut().zip(sum_dy_xmu).enumerate() {
            let mean = if centred { 0.0 } else { self.mean[first_channel + channel] };
            let dys: Vec<f32> = (0..dy.count).map(|row| dy.row(row)[channel]).collect();
            let xs: Vec<f32> = (0..dy.count).map(|row| x.row(row)[channel]).collect();
            let [a, b] = blocks(&dys, &xs, mean);
            (*out.0, *out.1) = (a, b);
        }
    }
}

fn blocks(dy: &[f32], x: &[f32], mean: f32) -> [f64; 2] {
    let mut all = [0.0, 0.0];
    for (dy, x) in dy.chunks(BLOCK).zip(x.chunks(BLOCK)) {
        let (mut sum_dy, mut sum_dy_xmu) = (0.0f32, 0.0f32);
        for (dy, x) in dy.iter().zip(x) {
            sum_dy += dy;
            sum_dy_xmu += dy * (x - mean);
        }
        all = [all[0] + f64::from(sum_dy), all[1] + f64::from(sum_dy_xmu)];
    }
    all
}
