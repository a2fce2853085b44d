//! A value that is not finite spoils its channel and no other.

use proptest::prelude::*;
use syncbn_core::Numerics;

use crate::batch::{batches, channel_of, config};

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
        let (before, after) = (batch.step(numerics).train(), spoiled.step(numerics).train());
        let channels = batch.layout.channels();
        for (which, (before, after)) in before.results().into_iter().zip(after.results()).enumerate() {
            for (i, (before, after)) in before.iter().zip(after).enumerate() {
                // y and dx have the layout of the batch, the others rows of channels.
                let channel = if [0, 4].contains(&which) { channel_of(&batch.layout, i) } else { i % channels };
                if channel != spoiled_channel {
                    prop_assert_eq!(before.to_bits(), after.to_bits(), "result {} at {}", which, i);
                }
            }
        }
        // The channel itself is not finite in the end, as in PyTorch.
        let own = |values: &[f32]| {
            (0..values.len()).filter(|i| channel_of(&batch.layout, *i) == spoiled_channel).any(|i| !values[i].is_finite())
        };
        prop_assert!(value.is_finite() || own(&after.y));
    }
}
