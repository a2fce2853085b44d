//! The largest and the smallest numbers, and those that are none.

use syncbn_core::{Format, STATISTICS_ROWS};
use syncbn_gpu::{BackwardInput, BatchNorm, BatchNormBackward, Guard, Normalize};

use crate::FAMILIES;
use crate::device::{Case, device, download, upload, wait};
use crate::step::{Outcome, Step};
use crate::tolerances::{GRADIENT, expect_near, output};

const FORMATS: [Format; 2] = [Format::Contiguous, Format::ChannelsLast];

/// Shapes of one value per sample, of several atoms in a plane and in rows, and of many leaves.
const SHAPES: [(usize, usize, usize); 4] = [(70, 3, 1), (3, 3, 40), (2, 3, 5000), (601, 3, 40)];

/// Index of a value of a channel, counted sample by sample.
fn place(case: &Case, channel: usize, number: usize) -> usize {
    let (sample, position) = (number / case.length, number % case.length);
    match case.format {
        Format::Contiguous => (sample * case.channels + channel) * case.length + position,
        Format::ChannelsLast => (sample * case.length + position) * case.channels + channel,
    }
}

fn all_shapes() -> impl Iterator<Item = Case> {
    SHAPES.into_iter().flat_map(|(samples, channels, length)| {
        FORMATS.map(|format| Case { samples, channels, length, format, mean: 0.5, std: 2.0 })
    })
}

#[test]
fn an_infinite_value_makes_the_running_mean_infinite_wherever_it_stands() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    for family in FAMILIES {
        let mut gpu = device(family);
        for case in all_shapes() {
            let count = case.samples * case.length;
            let last = count - 1;
            for first in [0, count / 2, last] {
                for (others, expected) in
                    [(vec![], inf), (vec![(last - first, inf)], inf), (vec![((first + 1) % count, -inf)], nan)]
                {
                    let mut step = Step::of(case);
                    step.x[place(&case, 1, first)] = inf;
                    for (number, value) in &others {
                        step.x[place(&case, 1, *number)] = *value;
                    }
                    let name = format!("{family:?} {case:?}: infinity at {first}, {others:?}");
                    for outcome in [step.on_one_device(&mut gpu, false), step.in_shards(&mut gpu, &[case.samples / 3])]
                    {
                        let (mean, var) = (&outcome.running_mean, &outcome.running_var);
                        assert!(
                            mean[1] == expected || (expected.is_nan() && mean[1].is_nan()),
                            "{name}: {}, not {expected}",
                            mean[1]
                        );
                        assert!(var[1].is_nan(), "{name}: {}", var[1]);
                        assert!([0, 2].into_iter().all(|i| mean[i].is_finite() && var[i].is_finite()), "{name}");
                        assert!((0..count).all(|i| outcome.y[place(&case, 1, i)].is_nan()), "{name}");
                    }
                }
            }
        }
    }
}

/// The same step with all deviations from the mean so many times as large.
fn scaled(step: &Step, factor: f32) -> Step {
    let times = |values: &[f32]| values.iter().map(|value| value * factor).collect();
    Step { x: times(&step.x), ..step.clone() }
}

/// Both passes with an eps of that size: y, dx, dweight.
fn passes(gpu: &mut syncbn_gpu::Gpu, step: &Step, eps: f64) -> Outcome {
    let layout = step.case.layout();
    let [x, dy, weight, bias] = [&step.x, &step.dy, &step.weight, &step.bias].map(|values| upload(gpu, values));
    let [y, dx] = [(); 2].map(|()| gpu.allocate(layout.elements()).expect("room"));
    let [statistics, dweight, dbias] =
        [STATISTICS_ROWS, 1, 1].map(|rows| gpu.allocate(rows * layout.channels()).expect("room"));
    let normalize = Normalize { x, y, layout, statistics, weight, bias };
    gpu.batch_norm(&BatchNorm { normalize, eps, running: None }).expect("valid");
    let input = BackwardInput { x, dy, dx, layout, statistics, weight };
    gpu.batch_norm_backward(&BatchNormBackward { input, dweight, dbias, batch_statistics: true }).expect("valid");
    let [statistics_read, y_read, dx_read, dweight_read, dbias_read] =
        [statistics, y, dx, dweight, dbias].map(|handle| download(gpu, handle));
    [x, dy, weight, bias, y, dx, statistics, dweight, dbias]
        .into_iter()
        .for_each(|handle| gpu.release(handle).expect("in use"));
    Outcome {
        statistics: statistics_read,
        y: y_read,
        running_mean: Vec::new(),
        running_var: Vec::new(),
        dx: dx_read,
        dweight: dweight_read,
        dbias: dbias_read,
    }
}

/// With eps = 0 neither y nor dweight depends on the scale of x, and dx goes down as x goes up. So the exact results are those of
/// the same batch at a common scale.
#[test]
fn deviations_are_right_from_the_smallest_to_the_largest_of_the_range_and_not_numbers_beyond() {
    for family in FAMILIES {
        let mut gpu = device(family);
        for case in all_shapes().map(|case| Case { mean: 0.0, std: 1.0, ..case }) {
            let step = Step::of(case);
            let common = passes(&mut gpu, &step, 0.0);
            // The range that ARCHITECTURE promises: deviations from 2⁻⁶⁰ on, and up to where their squares add up to 2¹²⁶. Those of
            // the cases go up to 3.
            #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a power of two is chosen")]
            let largest =
                ((2_f64.powi(126) / (9.0 * (case.samples * case.length) as f64)).sqrt().log2().floor()) as i32;
            for exponent in [-60, largest] {
                let factor = 2_f32.powi(exponent);
                let name = |what: &str| format!("{family:?} {case:?} times 2^{exponent}: {what}");
                let at_the_end = passes(&mut gpu, &scaled(&step, factor), 0.0);
                expect_near(&name("y"), &at_the_end.y, &common.y, output(0.0, 1.0));
                expect_near(&name("dweight"), &at_the_end.dweight, &common.dweight, GRADIENT);
                let dx: Vec<_> = at_the_end.dx.iter().map(|dx| dx * factor).collect();
                expect_near(&name("dx"), &dx, &common.dx, GRADIENT);
            }
            let beyond = passes(&mut gpu, &scaled(&step, 2_f32.powi(largest + 6)), 1e-5);
            assert!(beyond.y.iter().all(|y| y.is_nan()), "{family:?} {case:?}: {:?}", &beyond.y[..3]);
            assert!(beyond.dx.iter().all(|dx| dx.is_nan()), "{family:?} {case:?}: {:?}", &beyond.dx[..3]);
        }
    }
}

#[test]
fn constant_channels_become_the_bias_with_any_positive_eps() {
    for family in FAMILIES {
        let mut gpu = device(family);
        for case in all_shapes() {
            let mut step = Step::of(case);
            for value in [0.0, 3.25, -1e10] {
                step.x.fill(value);
                for eps in [1e-5, 1e-38, 1e-40, 1e-44, 1e-300] {
                    let outcome = passes(&mut gpu, &step, eps);
                    for channel in 0..case.channels {
                        let y = outcome.y[place(&case, channel, 7)];
                        assert!(
                            y.to_bits() == step.bias[channel].to_bits(),
                            "{family:?} {case:?} of {value} with {eps:e}: {y}"
                        );
                    }
                    assert!(outcome.dweight.iter().all(|dweight| *dweight == 0.0), "{family:?} {case:?} {eps:e}");
                    assert!(outcome.dx.iter().all(|dx| dx.is_finite()), "{family:?} {case:?} {eps:e}");
                }
            }
        }
    }
}

#[test]
fn eps_below_the_normal_range_guards_evaluation_and_clamping_too() {
    for family in FAMILIES {
        let mut gpu = device(family);
        let case = Case { samples: 3, channels: 2, length: 40, format: Format::Contiguous, mean: 0.0, std: 1.0 };
        let [x, mean, var] = [vec![2.0; 240], vec![2.0; 2], vec![0.0; 2]].map(|values| upload(&mut gpu, &values));
        let statistics = gpu.allocate(STATISTICS_ROWS * 2).expect("room");
        gpu.evaluation_statistics(mean, var, 1e-44, statistics).expect("valid");
        assert!(download(&mut gpu, statistics).iter().all(|value| value.is_finite()));
        let moments = gpu.moments(x, &case.layout(), 0).expect("valid");
        let moments = wait(&gpu, moments);
        gpu.finalize(&moments, Guard { eps: 1e-44, clamps: true }, statistics).expect("valid");
        assert!(download(&mut gpu, statistics).iter().all(|value| value.is_finite()), "{family:?}");
    }
}
