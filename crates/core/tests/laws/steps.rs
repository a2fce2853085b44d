//! The whole passes give the bits of the steps, and in place the bits of out of place.

use proptest::prelude::*;
use syncbn_core::{
    Affine, BatchNormBackward, BatchSums, Eps, EpsMode, Format, Gradients, Merged, Numerics, Partial, Running,
    STATISTICS_ROWS, backward_input, backward_parameters, backward_reduce, batch_norm_backward, centre_of, deviations,
    finalize, moments, normalize, total, update_running,
};

use crate::batch::{Batch, batches, bits, config};
use crate::training_step::{EPS, MOMENTUM, Trained, TrainingStep};

fn numerics() -> impl Strategy<Value = Numerics> {
    prop_oneof![Just(Numerics::Stable), Just(Numerics::Torch)]
}

fn affine(batch: &Batch) -> Affine<'_> {
    Affine { weight: Some(&batch.weight), bias: Some(&batch.bias) }
}

/// The bits of all results.
fn bits_of(trained: &Trained) -> [Vec<u32>; 7] {
    trained.results().map(bits)
}

fn whole_passes(batch: &Batch, numerics: Numerics) -> Trained {
    batch.step(numerics).train()
}

fn whole_passes_in_place(batch: &Batch, numerics: Numerics) -> Trained {
    TrainingStep { in_place: true, ..batch.step(numerics) }.train()
}

fn merged_forward(batch: &Batch, numerics: Numerics) -> Merged {
    let partial = match numerics {
        Numerics::Stable => moments(&batch.x, &batch.layout, 0),
        Numerics::Torch => total(&batch.x, &batch.layout, 0)
            .and_then(Partial::finish)
            .and_then(|total| centre_of(&total))
            .and_then(|centre| deviations(&batch.x, &centre, &batch.layout, 0)),
    };
    partial.and_then(Partial::finish).expect("lengths fit")
}

fn single_steps(batch: &Batch, numerics: Numerics) -> Trained {
    let (layout, channels) = (&batch.layout, batch.layout.channels());
    let mut statistics = vec![f32::NAN; STATISTICS_ROWS * channels];
    let merged = merged_forward(batch, numerics);
    finalize(&merged, Eps { value: EPS, mode: EpsMode::Plus }, &mut statistics).expect("lengths fit");
    let [mut running_mean, mut running_var, mut dweight, mut dbias] = [(); 4].map(|()| vec![f32::NAN; channels]);
    let mut running = Running {
        mean: &batch.running_mean,
        variance: &batch.running_var,
        next_mean: &mut running_mean,
        next_variance: &mut running_var,
        momentum: MOMENTUM,
        correction: 1,
    };
    update_running(&merged, &mut running).expect("lengths fit");
    let [mut y, mut dx] = [(); 2].map(|()| vec![f32::NAN; batch.x.len()]);
    normalize(Some(&batch.x), &mut y, layout, numerics, &statistics, &affine(batch)).expect("lengths fit");
    let sums = backward_reduce(&batch.dy, &batch.x, &statistics, layout, 0).and_then(Partial::finish);
    let sums = sums.expect("lengths fit");
    let of_batch = BatchSums { merged: &sums, clamp_eps: None };
    backward_parameters(&sums, &statistics, Some(&mut dweight), Some(&mut dbias)).expect("lengths fit");
    backward_input(Some(&batch.dy), &batch.x, &mut dx, layout, &statistics, Some(&batch.weight), Some(of_batch))
        .expect("lengths fit");
    Trained { y, statistics, running_mean, running_var, dx, dweight, dbias }
}

proptest! {
    #![proptest_config(config(192))]

    #[test]
    fn whole_passes_give_the_bits_of_the_steps(batch in batches(), numerics in numerics()) {
        prop_assert_eq!(bits_of(&whole_passes(&batch, numerics)), bits_of(&single_steps(&batch, numerics)));
    }

    #[test]
    fn in_place_gives_the_bits_of_out_of_place(batch in batches(), numerics in numerics()) {
        let separate = whole_passes(&batch, numerics);
        prop_assert_eq!(bits_of(&whole_passes_in_place(&batch, numerics)), bits_of(&separate));
    }

    #[test]
    fn normalizing_a_shard_gives_the_bits_of_the_whole(batch in batches(), numerics in numerics(), cut in 0.0..1.0) {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of the number of samples")]
        let cut = (cut * batch.layout.samples() as f64) as usize;
        let statistics = batch.some_statistics();
        let run = |batch: &Batch| {
            let mut y = batch.x.clone();
            normalize(None, &mut y, &batch.layout, numerics, &statistics, &affine(batch)).expect("lengths fit");
            let mut dx = batch.dy.clone();
            backward_input(None, &batch.x, &mut dx, &batch.layout, &statistics, None, None).expect("lengths fit");
            [bits(&y), bits(&dx)]
        };
        let [left, right] = [0..cut, cut..batch.layout.samples()].map(|samples| run(&batch.shard(samples)));
        let joined: Vec<_> = left.into_iter().zip(right).map(|(left, right)| [left, right].concat()).collect();
        prop_assert_eq!(joined, run(&batch).to_vec());
    }

    #[test]
    fn each_gradient_is_the_same_without_the_others(batch in batches(), wanted in 0_u8..8) {
        let all = whole_passes(&batch, Numerics::Stable);
        let (layout, weight) = (batch.layout, Some(&batch.weight[..]));
        let args = BatchNormBackward { layout, statistics: &all.statistics, weight, batch_statistics: true };
        let mut dx = vec![0.0; batch.x.len()];
        let [mut dweight, mut dbias] = [(); 2].map(|()| vec![0.0; layout.channels()]);
        let gradients = Gradients {
            dx: (wanted & 1 > 0).then_some(&mut dx),
            dweight: (wanted & 2 > 0).then_some(&mut dweight),
            dbias: (wanted & 4 > 0).then_some(&mut dbias),
        };
        batch_norm_backward(&args, Some(&batch.dy), &batch.x, gradients).expect("lengths fit");
        let expected = |wanted: bool, values: &[f32]| if wanted { bits(values) } else { vec![0; values.len()] };
        prop_assert_eq!(bits(&dx), expected(wanted & 1 > 0, &all.dx));
        prop_assert_eq!(bits(&dweight), expected(wanted & 2 > 0, &all.dweight));
        prop_assert_eq!(bits(&dbias), expected(wanted & 4 > 0, &all.dbias));
    }
}

#[test]
fn a_batch_of_several_groups_of_channels_gives_the_bits_of_the_steps() {
    let layout = crate::batch::layout(2, 300, 1025, Format::Contiguous);
    let batch = Batch::new(layout, 5);
    for numerics in [Numerics::Stable, Numerics::Torch] {
        let steps = bits_of(&single_steps(&batch, numerics));
        assert!(bits_of(&whole_passes(&batch, numerics)) == steps, "{numerics:?}, out of place");
        assert!(bits_of(&whole_passes_in_place(&batch, numerics)) == steps, "{numerics:?}, in place");
    }
}

/// A row whose width is no multiple of four is laid together with those that follow; here there are too few of them.
#[test]
fn wide_odd_rows_fewer_than_a_super_row_give_the_bits_of_the_steps() {
    let shapes = [(2, 513), (1, 513), (33, 513), (35, 513), (65, 1001), (33, 1026), (2, 1001), (3, 2049), (1, 2050)];
    for (samples, channels) in shapes {
        for length in [1, 2, 3] {
            let batch = Batch::new(crate::batch::layout(samples, channels, length, Format::ChannelsLast), 7);
            for numerics in [Numerics::Stable, Numerics::Torch] {
                let steps = bits_of(&single_steps(&batch, numerics));
                assert!(bits_of(&whole_passes(&batch, numerics)) == steps, "{batch:?}, {numerics:?}");
            }
        }
    }
}
