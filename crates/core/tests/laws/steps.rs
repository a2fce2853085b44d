//! The whole passes give the bits of the steps, and in place the bits of out of place.

use proptest::prelude::*;
use syncbn_core::{
    Affine, BatchNorm, BatchNormBackward, BatchSums, Eps, EpsMode, Format, Gradients, Merged, Numerics, Partial,
    Running, STATISTICS_ROWS, backward_input, backward_parameters, backward_reduce, batch_norm, batch_norm_backward,
    centre_of, deviations, finalize, moments, normalize, total, update_running,
};

use crate::batch::{Batch, batches, bits, config};

const EPS: f64 = 1e-5;

fn numerics() -> impl Strategy<Value = Numerics> {
    prop_oneof![Just(Numerics::Stable), Just(Numerics::Torch)]
}

/// Results of a training step.
#[derive(Debug, PartialEq)]
struct Results {
    y: Vec<u32>,
    statistics: Vec<u32>,
    running: [Vec<u32>; 2],
    dx: Vec<u32>,
    dweight: Vec<u32>,
    dbias: Vec<u32>,
}

/// Whether y is written over x and dx over dy.
#[derive(Clone, Copy)]
enum Place {
    Separate,
    Same,
}

fn affine(batch: &Batch) -> Affine<'_> {
    Affine { weight: Some(&batch.weight), bias: Some(&batch.bias) }
}

fn whole_passes(batch: &Batch, numerics: Numerics, place: Place) -> Results {
    let (layout, channels) = (batch.layout, batch.layout.channels());
    let mut statistics = vec![f32::NAN; STATISTICS_ROWS * channels];
    let [mut next_mean, mut next_variance, mut dweight, mut dbias] = [(); 4].map(|()| vec![f32::NAN; channels]);
    let running = Running {
        mean: &batch.running_mean,
        variance: &batch.running_var,
        next_mean: &mut next_mean,
        next_variance: &mut next_variance,
        momentum: 0.1,
    };
    let args = BatchNorm { layout, numerics, eps: EPS, affine: affine(batch), running: Some(running) };
    let (x, mut y, dy, mut dx) = match place {
        Place::Separate => {
            (Some(&batch.x[..]), vec![f32::NAN; batch.x.len()], Some(&batch.dy[..]), vec![f32::NAN; batch.x.len()])
        }
        Place::Same => (None, batch.x.clone(), None, batch.dy.clone()),
    };
    batch_norm(args, x, &mut y, &mut statistics).expect("lengths fit");
    let args =
        BatchNormBackward { layout, statistics: &statistics, weight: Some(&batch.weight), batch_statistics: true };
    let gradients = Gradients { dx: Some(&mut dx), dweight: Some(&mut dweight), dbias: Some(&mut dbias) };
    batch_norm_backward(&args, dy, &batch.x, gradients).expect("lengths fit");
    let [y, statistics, next_mean, next_variance, dx, dweight, dbias] =
        [&y, &statistics, &next_mean, &next_variance, &dx, &dweight, &dbias].map(|values| bits(values));
    Results { y, statistics, running: [next_mean, next_variance], dx, dweight, dbias }
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

fn single_steps(batch: &Batch, numerics: Numerics) -> Results {
    let (layout, channels) = (&batch.layout, batch.layout.channels());
    let mut statistics = vec![f32::NAN; STATISTICS_ROWS * channels];
    let merged = merged_forward(batch, numerics);
    finalize(&merged, Eps { value: EPS, mode: EpsMode::Plus }, &mut statistics).expect("lengths fit");
    let [mut next_mean, mut next_variance, mut dweight, mut dbias] = [(); 4].map(|()| vec![f32::NAN; channels]);
    let mut running = Running {
        mean: &batch.running_mean,
        variance: &batch.running_var,
        next_mean: &mut next_mean,
        next_variance: &mut next_variance,
        momentum: 0.1,
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
    let [y, statistics, next_mean, next_variance, dx, dweight, dbias] =
        [&y, &statistics, &next_mean, &next_variance, &dx, &dweight, &dbias].map(|values| bits(values));
    Results { y, statistics, running: [next_mean, next_variance], dx, dweight, dbias }
}

proptest! {
    #![proptest_config(config(192))]

    #[test]
    fn whole_passes_give_the_bits_of_the_steps(batch in batches(), numerics in numerics()) {
        prop_assert_eq!(whole_passes(&batch, numerics, Place::Separate), single_steps(&batch, numerics));
    }

    #[test]
    fn in_place_gives_the_bits_of_out_of_place(batch in batches(), numerics in numerics()) {
        let separate = whole_passes(&batch, numerics, Place::Separate);
        prop_assert_eq!(whole_passes(&batch, numerics, Place::Same), separate);
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
        let all = whole_passes(&batch, Numerics::Stable, Place::Separate);
        let statistics: Vec<f32> = all.statistics.iter().map(|bits| f32::from_bits(*bits)).collect();
        let (layout, weight) = (batch.layout, Some(&batch.weight[..]));
        let args = BatchNormBackward { layout, statistics: &statistics, weight, batch_statistics: true };
        let mut dx = vec![0.0; batch.x.len()];
        let [mut dweight, mut dbias] = [(); 2].map(|()| vec![0.0; layout.channels()]);
        let gradients = Gradients {
            dx: (wanted & 1 > 0).then_some(&mut dx),
            dweight: (wanted & 2 > 0).then_some(&mut dweight),
            dbias: (wanted & 4 > 0).then_some(&mut dbias),
        };
        batch_norm_backward(&args, Some(&batch.dy), &batch.x, gradients).expect("lengths fit");
        let expected = |wanted: bool, values: &[u32]| if wanted { values.to_vec() } else { vec![0; values.len()] };
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
        let steps = single_steps(&batch, numerics);
        assert!(whole_passes(&batch, numerics, Place::Separate) == steps, "{numerics:?}, out of place");
        assert!(whole_passes(&batch, numerics, Place::Same) == steps, "{numerics:?}, in place");
    }
}
