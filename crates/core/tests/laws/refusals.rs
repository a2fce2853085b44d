//! Wrong lengths and kinds are errors that name the argument, never panics.

use syncbn_core::{
    Affine, BatchNorm, BatchNormBackward, Eps, EpsMode, Format, Gradients, KernelError, Kind, Merged, Numerics,
    Partial, Parts, Running, add, add_in_place, backward_input, backward_parameters, backward_reduce, batch_norm,
    batch_norm_backward, centre_of, deviations, evaluation_statistics, finalize, moments, normalize, permute, total,
    update_running,
};

use crate::batch::layout;

const LAYOUT: (usize, usize, usize) = (2, 3, 5);

fn too_short<T>(name: &'static str, expected: usize) -> Result<T, KernelError> {
    Err(KernelError::Length { name, expected, actual: expected - 1 })
}

/// Vectors of the right lengths: 30 elements, 12 statistics, 3 channels; a test takes one value away.
struct Arguments {
    x: Vec<f32>,
    out: Vec<f32>,
    statistics: Vec<f32>,
    vector: Vec<f32>,
    running: Vec<f32>,
    next: [Vec<f32>; 2],
}

fn arguments() -> Arguments {
    let [x, out] = [(); 2].map(|()| vec![0.5; 30]);
    let [vector, running, mean, variance] = [(); 4].map(|()| vec![0.5; 3]);
    Arguments { x, out, statistics: vec![0.5; 12], vector, running, next: [mean, variance] }
}

fn forward(change: impl FnOnce(&mut Arguments)) -> Result<(), KernelError> {
    let mut given = arguments();
    change(&mut given);
    let [next_mean, next_variance] = &mut given.next;
    let running =
        Running { mean: &given.running, variance: &[1.0; 3], next_mean, next_variance, momentum: 0.1, correction: 1 };
    let (samples, channels, length) = LAYOUT;
    let layout = layout(samples, channels, length, Format::Contiguous);
    let affine = Affine { weight: Some(&given.vector), bias: None };
    let args = BatchNorm { layout, numerics: Numerics::Stable, eps: 1e-5, affine, running: Some(running) };
    batch_norm(args, Some(&given.x), &mut given.out, &mut given.statistics)
}

fn drop_last(values: &mut Vec<f32>) {
    values.pop();
}

#[test]
fn the_forward_pass_names_the_argument_that_is_too_short() {
    assert_eq!(forward(|_| {}), Ok(()));
    assert_eq!(forward(|given| drop_last(&mut given.x)), too_short("x", 30));
    assert_eq!(forward(|given| drop_last(&mut given.out)), too_short("y", 30));
    assert_eq!(forward(|given| drop_last(&mut given.statistics)), too_short("statistics", 12));
    assert_eq!(forward(|given| drop_last(&mut given.vector)), too_short("weight", 3));
    assert_eq!(forward(|given| drop_last(&mut given.running)), too_short("running_mean", 3));
    assert_eq!(forward(|given| drop_last(&mut given.next[1])), too_short("next running_var", 3));
}

#[test]
fn the_backward_pass_names_the_argument_that_is_too_short() {
    let (samples, channels, length) = LAYOUT;
    let layout = layout(samples, channels, length, Format::Contiguous);
    let backward = |dy: &[f32], x: &[f32], statistics: &[f32], dx: &mut [f32], dbias: &mut [f32]| {
        let args = BatchNormBackward { layout, statistics, weight: None, batch_statistics: true };
        let gradients = Gradients { dx: Some(dx), dweight: None, dbias: Some(dbias) };
        batch_norm_backward(&args, Some(dy), x, gradients)
    };
    let (full, rows) = ([0.5; 30], [0.5; 12]);
    let [mut dx, mut dbias] = [vec![0.0; 30], vec![0.0; 3]];
    assert_eq!(backward(&full, &full, &rows, &mut dx, &mut dbias), Ok(()));
    assert_eq!(backward(&full[1..], &full, &rows, &mut dx, &mut dbias), too_short("dy", 30));
    assert_eq!(backward(&full, &full[1..], &rows, &mut dx, &mut dbias), too_short("x", 30));
    assert_eq!(backward(&full, &full, &rows[1..], &mut dx, &mut dbias), too_short("statistics", 12));
    assert_eq!(backward(&full, &full, &rows, &mut dx[1..], &mut dbias), too_short("dx", 30));
    assert_eq!(backward(&full, &full, &rows, &mut dx, &mut dbias[1..]), too_short("dbias", 3));
}

#[test]
fn the_steps_name_the_argument_that_is_too_short() {
    let (samples, channels, length) = LAYOUT;
    let layout = layout(samples, channels, length, Format::ChannelsLast);
    let (short, full, rows) = ([0.5; 29], [0.5; 30], [0.5; 12]);
    let mut out = [0.0; 30];
    assert_eq!(moments(&short, &layout, 0), too_short("x", 30));
    assert_eq!(total(&short, &layout, 0), too_short("x", 30));
    assert_eq!(deviations(&full, &[0.5; 2], &layout, 0), too_short("centre", 3));
    assert_eq!(backward_reduce(&short, &full, &rows, &layout, 0), too_short("dy", 30));
    let affine = Affine::default();
    assert_eq!(normalize(None, &mut out[1..], &layout, Numerics::Torch, &rows, &affine), too_short("y", 30));
    assert_eq!(backward_input(None, &full, &mut out, &layout, &rows[1..], None, None), too_short("statistics", 12));
    assert_eq!(permute(&full, &mut out[1..], &layout), too_short("target", 30));
    assert_eq!(add(&short, &full, &mut out), too_short("a", 30));
    assert_eq!(add_in_place(&mut out, &short), too_short("b", 30));
    let evaluated = evaluation_statistics(&[0.5; 3], &[1.0; 2], Numerics::Stable, 1e-5, &mut [0.0; 12]);
    assert_eq!(evaluated, too_short("running_var", 3));
}

#[test]
fn partials_of_the_wrong_kind_are_refused() {
    let (samples, channels, length) = LAYOUT;
    let layout = layout(samples, channels, length, Format::Contiguous);
    let merged =
        |partial: Result<Partial, KernelError>| -> Merged { partial.and_then(Partial::finish).expect("lengths fit") };
    let full = [0.5; 30];
    let (moments, total) = (merged(moments(&full, &layout, 0)), merged(total(&full, &layout, 0)));
    let wrong = |expected, actual| Err(KernelError::Kind { expected, actual });
    assert_eq!(centre_of(&moments), Err(KernelError::Kind { expected: Kind::Total, actual: Kind::Moments }));
    let eps = Eps { value: 1e-5, mode: EpsMode::Plus };
    assert_eq!(finalize(&total, eps, &mut [0.0; 12]), wrong(Kind::Moments, Kind::Total));
    assert_eq!(backward_parameters(&total, &[0.5; 12], None, None), wrong(Kind::Sums, Kind::Total));
    let mut next = [[0.0; 3]; 2];
    let [next_mean, next_variance] = &mut next;
    let mut running =
        Running { mean: &[0.5; 3], variance: &[0.5; 3], next_mean, next_variance, momentum: 0.1, correction: 1 };
    assert_eq!(update_running(&total, &mut running), wrong(Kind::Moments, Kind::Total));
}

#[test]
fn a_shard_beyond_the_last_sample_number_is_refused() {
    let layout = layout(2, 1, 32, Format::Contiguous);
    let last = u64::from(u32::MAX) - 2;
    assert!(moments(&[0.5; 64], &layout, last).is_ok());
    for first in [last + 1, 1 << 45, 1 << 53, u64::MAX] {
        let refused = KernelError::Samples { first, samples: 2, length: 32 };
        assert_eq!(moments(&[0.5; 64], &layout, first), Err(refused.clone()));
        let none = Parts { first_sample: first, nodes: &[], edges_dy: None, edges_x: [&[]; 2], centre: &[] };
        assert_eq!(Partial::from_parts(Kind::Moments, &layout, none), Err(refused));
    }
}
