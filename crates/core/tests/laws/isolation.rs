//! A value that is not finite spoils its channel and no other.

use proptest::prelude::*;
use syncbn_core::{
    Affine, BatchNorm, BatchNormBackward, Gradients, Numerics, STATISTICS_ROWS, batch_norm, batch_norm_backward,
};

use crate::batch::{Batch, batches, channel_of, config};

/// y, dx, statistics, dweight and dbias.
fn train(batch: &Batch, numerics: Numerics) -> [Vec<f32>; 5] {
    let (layout, channels) = (batch.layout, batch.layout.channels());
    let [mut y, mut dx] = [(); 2].map(|()| vec![0.0; batch.x.len()]);
    let mut statistics = vec![0.0; STATISTICS_ROWS * channels];
    let [mut dweight, mut dbias] = [(); 2].map(|()| vec![0.0; channels]);
    let args = BatchNorm { layout, numerics, eps: 1e-5, affine: Affine::default(), running: None };
    batch_norm(args, Some(&batch.x), &mut y, &mut statistics).expect("lengths fit");
    let args = BatchNormBackward { layout, statistics: &statistics, weight: None, batch_statistics: true };
    let gradients = Gradients { dx: Some(&mut dx), dweight: Some(&mut dweight), dbias: Some(&mut dbias) };
    batch_norm_backward(&args, Some(&batch.dy), &batch.x, gradients).expect("lengths fit");
    [y, dx, statistics, dweight, dbias]
}

proptest! {
    #![proptest_config(config(128))]

    #[test]
    fn other_channels_keep_their_bits(
        batch in batches(), place in any::<prop::sample::Index>(),
        value in prop::sample::select(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -3e38][..]),
        torch in any::<bool>(),
    ) {
        prop_assume!(batch.layout.values_per_channel() > 1);
        let numerics = if torch { Numerics::Torch } else { Numerics::Stable };
        let element = place.index(batch.x.len());
        let spoiled_channel = channel_of(&batch.layout, element);
        let mut spoiled = batch.clone();
        spoiled.x[element] = value;
        let (before, after) = (train(&batch, numerics), train(&spoiled, numerics));
        let channels = batch.layout.channels();
        for (which, (before, after)) in before.iter().zip(&after).enumerate() {
            for (i, (before, after)) in before.iter().zip(after).enumerate() {
                let channel = if which < 2 { channel_of(&batch.layout, i) } else { i % channels };
                if channel != spoiled_channel {
                    prop_assert_eq!(before.to_bits(), after.to_bits(), "result {} at {}", which, i);
                }
            }
        }
        // The channel itself is not finite in the end, as in PyTorch.
        let own = |values: &[f32]| {
            (0..values.len()).filter(|i| channel_of(&batch.layout, *i) == spoiled_channel).any(|i| !values[i].is_finite())
        };
        prop_assert!(value.is_finite() || own(&after[0]));
    }
}
