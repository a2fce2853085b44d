//! What holds for the gradients of every batch, and for the batch moved, scaled or left as it is.

use proptest::prelude::*;
use syncbn_core::{
    Affine, BatchNorm, BatchNormBackward, Format, Gradients, Layout, Numerics, STATISTICS_ROWS, batch_norm,
    batch_norm_backward, normalize,
};

use crate::batch::{Batch, batches, bits, channel_of, config};

/// Training forward; returns y and the statistics.
pub(crate) fn forward(layout: Layout, x: &[f32], eps: f64, affine: Affine<'_>) -> (Vec<f32>, Vec<f32>) {
    let mut y = vec![f32::NAN; x.len()];
    let mut statistics = vec![f32::NAN; STATISTICS_ROWS * layout.channels()];
    let args = BatchNorm { layout, numerics: Numerics::Stable, eps, affine, running: None };
    batch_norm(args, Some(x), &mut y, &mut statistics).expect("lengths fit");
    (y, statistics)
}

fn sums(layout: &Layout, values: impl Iterator<Item = f64>) -> Vec<[f64; 2]> {
    let mut sums = vec![[0.0; 2]; layout.channels()];
    for (element, value) in values.enumerate() {
        let [sum, magnitude] = &mut sums[channel_of(layout, element)];
        *sum += value;
        *magnitude += value.abs();
    }
    sums
}

proptest! {
    #![proptest_config(config(128))]

    #[test]
    fn the_input_gradient_is_orthogonal_to_ones_and_to_the_normalized_input(batch in batches()) {
        let layout = batch.layout;
        let (normalized, statistics) = forward(layout, &batch.x, 1e-12, Affine::default());
        let mut dx = vec![0.0; batch.x.len()];
        let args = BatchNormBackward { layout, statistics: &statistics, weight: None, batch_statistics: true };
        let gradients = Gradients { dx: Some(&mut dx), ..Gradients::default() };
        batch_norm_backward(&args, Some(&batch.dy), &batch.x, gradients).expect("lengths fit");
        // The terms that cancel are those of dy, not what is left of them: with two values per channel that is nothing.
        let scale = |channel: usize| f64::from(statistics[2 * layout.channels() + channel]);
        let terms = sums(&layout, batch.dy.iter().map(|dy| f64::from(*dy)));
        let ones = sums(&layout, dx.iter().map(|dx| f64::from(*dx)));
        let products = dx.iter().zip(&normalized).map(|(dx, y)| f64::from(*dx) * f64::from(*y));
        for (channel, (ones, along)) in ones.iter().zip(sums(&layout, products)).enumerate() {
            if layout.values_per_channel() > 1 {
                let granted = 2e-6 * scale(channel) * (terms[channel][1] + 1.0);
                prop_assert!(ones[0].abs() <= granted, "channel {channel}: Σdx = {} ± {granted}", ones[0]);
                prop_assert!(along[0].abs() <= granted, "channel {channel}: Σdx·y = {} ± {granted}", along[0]);
            }
        }
    }

    #[test]
    fn a_batch_that_is_moved_is_normalized_alike(batch in batches(), shift in -1000_i16..1000) {
        // Multiples of 2^-10 below 2^11 are moved without rounding.
        let x: Vec<f32> = batch.x.iter().map(|x| (x * 1024.0).round() / 1024.0).collect();
        let moved: Vec<f32> = x.iter().map(|x| x + f32::from(shift)).collect();
        let (y, _) = forward(batch.layout, &x, 1e-5, Affine::default());
        let (of_moved, _) = forward(batch.layout, &moved, 1e-5, Affine::default());
        for (y, moved) in y.iter().zip(&of_moved) {
            prop_assert!((y - moved).abs() <= 1e-6 * (1.0 + y.abs()), "{y} and {moved}");
        }
    }

    #[test]
    fn without_affine_is_with_one_and_zero(batch in batches()) {
        let [ones, zeros] = [1.0, 0.0].map(|value| vec![value; batch.layout.channels()]);
        let with = forward(batch.layout, &batch.x, 1e-5, Affine { weight: Some(&ones), bias: Some(&zeros) });
        let without = forward(batch.layout, &batch.x, 1e-5, Affine::default());
        prop_assert_eq!(bits(&with.0), bits(&without.0));
    }

    #[test]
    fn mean_zero_and_deviation_one_are_the_identity(batch in batches()) {
        let channels = batch.layout.channels();
        let mut statistics = vec![0.0; STATISTICS_ROWS * channels];
        statistics[2 * channels..3 * channels].fill(1.0);
        for numerics in [Numerics::Stable, Numerics::Torch] {
            let mut y = vec![f32::NAN; batch.x.len()];
            normalize(Some(&batch.x), &mut y, &batch.layout, numerics, &statistics, &Affine::default())
                .expect("lengths fit");
            prop_assert_eq!(bits(&y), bits(&batch.x));
        }
    }
}

#[test]
fn an_empty_batch_has_parameter_gradients_of_zero() {
    let batch = Batch::new(crate::batch::layout(0, 3, 4, Format::Contiguous), 1);
    let (_, statistics) = forward(batch.layout, &batch.x, 1e-5, Affine::default());
    assert!(statistics.iter().all(|value| value.is_finite()));
    let (mut dweight, mut dbias) = (vec![f32::NAN; 3], vec![f32::NAN; 3]);
    let args =
        BatchNormBackward { layout: batch.layout, statistics: &statistics, weight: None, batch_statistics: true };
    let gradients = Gradients { dx: None, dweight: Some(&mut dweight), dbias: Some(&mut dbias) };
    batch_norm_backward(&args, Some(&[]), &batch.x, gradients).expect("lengths fit");
    assert_eq!((dweight, dbias), (vec![0.0; 3], vec![0.0; 3]));
}
