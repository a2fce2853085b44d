//! Batch normalization in f64, as plain as it can be written; it shares no code with the kernels.

use syncbn_core::{Format, Layout};

/// Channel of an element of memory.
pub(crate) fn channel_of(layout: &Layout, element: usize) -> usize {
    match layout.format() {
        Format::Contiguous => element / layout.length() % layout.channels(),
        Format::ChannelsLast => element % layout.channels(),
    }
}

/// Per channel the sum of a term of every element (its number, its channel).
pub(crate) fn sums(layout: &Layout, term: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let mut sums = vec![0.0; layout.channels()];
    for element in 0..layout.elements() {
        let channel = channel_of(layout, element);
        sums[channel] += term(element, channel);
    }
    sums
}

/// Per channel the largest magnitude of a term.
pub(crate) fn largest(layout: &Layout, term: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let mut largest = vec![0.0_f64; layout.channels()];
    for element in 0..layout.elements() {
        let channel = channel_of(layout, element);
        largest[channel] = largest[channel].max(term(element, channel).abs());
    }
    largest
}

/// Mean and M2 per channel; 0 where there are no values.
#[allow(clippy::cast_precision_loss, reason = "a batch has fewer than 2^53 values")]
pub(crate) fn moments(layout: &Layout, x: &[f32]) -> [Vec<f64>; 2] {
    let n = layout.values_per_channel().max(1) as f64;
    let rough: Vec<f64> = sums(layout, |i, _| f64::from(x[i])).iter().map(|sum| sum / n).collect();
    let rest = sums(layout, |i, c| f64::from(x[i]) - rough[c]);
    let mean: Vec<f64> = rough.iter().zip(rest).map(|(mean, rest)| mean + rest / n).collect();
    let m2 = sums(layout, |i, c| (f64::from(x[i]) - mean[c]).powi(2));
    [mean, m2]
}
