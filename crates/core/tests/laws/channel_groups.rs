//! Steps that work on some channels at a time give the bits of all channels at once, however the batch is cut into shards.

use std::ops::Range;

use proptest::prelude::*;
use syncbn_core::{
    Affine, BatchSums, Eps, EpsMode, Format, KernelError, Layout, Merged, Numerics, Partial, Running, STATISTICS_ROWS,
    backward_input, backward_parameters_of, backward_reduce, finalize_of, moments, normalize, update_running_of,
};

use crate::batch::{Batch, bits, config, layout};
use crate::training_step::{EPS, MOMENTUM, Trained};

/// Batches in which every plane is a leaf.
fn batches_of_planes() -> impl Strategy<Value = Batch> {
    let lengths = prop::sample::select(&[32, 33, 49, 100, 1025][..]);
    (0_usize..6, 1_usize..9, lengths, any::<u64>()).prop_map(|(samples, channels, length, seed)| {
        Batch::new(layout(samples, channels, length, Format::Contiguous), seed)
    })
}

/// The training step of a batch in two shards that begin with the samples 0 and `cut`, `width` channels at a time.
fn train(batch: &Batch, cut: usize, width: usize) -> Trained {
    let (samples, channels) = (batch.layout.samples(), batch.layout.channels());
    let shards = [0..cut, cut..samples].map(|samples| (batch.shard(samples.clone()), samples.start as u64));
    let [mut running_mean, mut running_var, mut dweight, mut dbias] = [(); 4].map(|()| vec![f32::NAN; channels]);
    let mut statistics = vec![f32::NAN; STATISTICS_ROWS * channels];
    let mut ys = shards.each_ref().map(|(shard, _)| vec![f32::NAN; shard.x.len()]);
    let mut dxs = ys.clone();
    let mut run = |group: Range<usize>| -> Result<(), KernelError> {
        let part = |layout: Layout| layout.of_channels(group.clone());
        let reduced = merge(shards.each_ref().map(|(shard, first)| moments(&shard.x, &part(shard.layout)?, *first)))?;
        finalize_of(group.clone(), &reduced, Eps { value: EPS, mode: EpsMode::Plus }, &mut statistics)?;
        let mut running = Running {
            mean: &batch.running_mean,
            variance: &batch.running_var,
            next_mean: &mut running_mean,
            next_variance: &mut running_var,
            momentum: MOMENTUM,
            correction: 1,
        };
        update_running_of(group.clone(), &reduced, &mut running)?;
        let affine = Affine { weight: Some(&batch.weight), bias: Some(&batch.bias) };
        for ((shard, _), y) in shards.iter().zip(&mut ys) {
            normalize(Some(&shard.x), y, &part(shard.layout)?, Numerics::Stable, &statistics, &affine)?;
        }
        let merged =
            merge(shards.each_ref().map(|(shard, first)| {
                backward_reduce(&shard.dy, &shard.x, &statistics, &part(shard.layout)?, *first)
            }))?;
        backward_parameters_of(group.clone(), &merged, &statistics, Some(&mut dweight), Some(&mut dbias))?;
        for ((shard, _), dx) in shards.iter().zip(&mut dxs) {
            let sums = BatchSums { merged: &merged, clamp_eps: None };
            let layout = part(shard.layout)?;
            backward_input(Some(&shard.dy), &shard.x, dx, &layout, &statistics, Some(&batch.weight), Some(sums))?;
        }
        Ok(())
    };
    for first in (0..channels).step_by(width) {
        run(first..(first + width).min(channels)).expect("lengths fit");
    }
    Trained { y: ys.concat(), statistics, running_mean, running_var, dx: dxs.concat(), dweight, dbias }
}

fn merge([left, right]: [Result<Partial, KernelError>; 2]) -> Result<Merged, KernelError> {
    let mut merged = left?;
    merged.merge(right?)?;
    merged.finish()
}

proptest! {
    #![proptest_config(config(128))]

    #[test]
    fn groups_of_channels_give_the_bits_of_all_at_once(batch in batches_of_planes(), cut in 0_usize..6, width in 1_usize..9) {
        let cut = cut.min(batch.layout.samples());
        let whole = batch.step(Numerics::Stable).train();
        prop_assert_eq!(train(&batch, cut, width).results().map(bits), whole.results().map(bits));
    }
}

#[test]
fn a_step_touches_only_the_channels_it_works_on() {
    let batch = Batch::new(layout(2, 5, 40, Format::Contiguous), 3);
    let part = batch.layout.of_channels(1..3).expect("channels of the batch");
    let mut y = vec![f32::NAN; batch.x.len()];
    let statistics = batch.some_statistics();
    normalize(Some(&batch.x), &mut y, &part, Numerics::Stable, &statistics, &Affine::default()).expect("lengths fit");
    let written: Vec<_> = y.chunks(40).map(|plane| plane.iter().all(|value| !value.is_nan())).collect();
    assert_eq!(written, [false, true, true, false, false].repeat(2));
    assert_eq!(moments(&batch.x, &part, 0).map(|partial| partial.channels()), Ok(2));
}

#[test]
fn channels_that_a_batch_does_not_have_are_refused() {
    let of_channels = |channels| layout(2, 5, 40, Format::Contiguous).of_channels(channels);
    assert!(of_channels(0..5).is_ok() && of_channels(4..5).is_ok());
    let refused = |actual| Err(KernelError::Length { name: "channels", expected: 5, actual });
    assert_eq!([of_channels(4..6), of_channels(6..6), of_channels(5..5)], [refused(6), refused(6), refused(0)]);
}
