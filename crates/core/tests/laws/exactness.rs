//! `stable` numerics where single precision is short: large means, outliers, constants, few values.

use syncbn_core::{Affine, BatchNorm, Format, Layout, Numerics, Running, STATISTICS_ROWS, batch_norm};

use crate::batch::{Random, channel_of, layout};

/// Makes the values of a channel from values between −1 and 1.
type Values = fn(&mut [f32]);

const CASES: [(&str, Values); 7] = [
    ("mean 1e4, deviation 1e-2", |x| x.iter_mut().for_each(|x| *x = 1e4 + 1e-2 * *x)),
    ("mean 1e6, deviation 1", |x| x.iter_mut().for_each(|x| *x += 1e6)),
    ("mean −1e6, deviation 1e3", |x| x.iter_mut().for_each(|x| *x = *x * 1e3 - 1e6)),
    ("mean as large as the deviation", |x| x.iter_mut().for_each(|x| *x += 0.577)),
    ("an outlier first", |x| x[0] = 1e5),
    ("an outlier last, mean 100", |x| {
        x.iter_mut().for_each(|x| *x += 100.0);
        x[x.len() - 1] = -1e5;
    }),
    ("all equal", |x| x.fill(0.1)),
];

const SHAPES: [(usize, usize); 11] =
    [(2, 1), (1, 2), (40, 1), (37, 3), (9, 7), (5, 31), (4, 32), (2, 49), (3, 1025), (1, 3000), (2, 16384)];

/// Mean and M2 in f64, twice over.
fn exact(values: &[f64]) -> [f64; 2] {
    let n = values.len() as f64;
    let rough = values.iter().sum::<f64>() / n;
    let mean = rough + values.iter().map(|x| x - rough).sum::<f64>() / n;
    [mean, values.iter().map(|x| (x - mean) * (x - mean)).sum()]
}

/// Distance from a f32 number to the next larger one.
fn ulp(value: f64) -> f64 {
    #[allow(clippy::cast_possible_truncation, reason = "the distance is between f32 numbers")]
    let single = (value as f32).abs();
    f64::from(f32::from_bits(single.to_bits() + 1)) - f64::from(single)
}

/// The case in all of three channels, each with values of its own.
fn batch(layout: &Layout, values: Values) -> Vec<f32> {
    let mut random = Random(layout.elements() as u64);
    let mut x = vec![0.0; layout.elements()];
    for channel in 0..layout.channels() {
        let elements: Vec<usize> = (0..x.len()).filter(|i| channel_of(layout, *i) == channel).collect();
        let mut of_channel = random.values(elements.len());
        values(&mut of_channel);
        for (element, value) in elements.into_iter().zip(of_channel) {
            x[element] = value;
        }
    }
    x
}

fn check(name: &str, layout: Layout, values: Values) {
    let (channels, eps) = (layout.channels(), 1e-5);
    let x = batch(&layout, values);
    let [weight, bias] = [[1.25, -0.5, 2.0], [0.25, 1.0, 0.0]];
    let mut y = vec![0.0; x.len()];
    let mut statistics = vec![0.0; STATISTICS_ROWS * channels];
    let (mean, variance) = (vec![0.5; channels], vec![1.5; channels]);
    let (mut next_mean, mut next_variance) = (vec![0.0; channels], vec![0.0; channels]);
    let running = Running {
        mean: &mean,
        variance: &variance,
        next_mean: &mut next_mean,
        next_variance: &mut next_variance,
        momentum: 0.1,
        correction: 1,
    };
    let affine = Affine { weight: Some(&weight), bias: Some(&bias) };
    let args = BatchNorm { layout, numerics: Numerics::Stable, eps, affine, running: Some(running) };
    batch_norm(args, Some(&x), &mut y, &mut statistics).expect("lengths fit");
    for channel in 0..channels {
        let elements: Vec<usize> = (0..x.len()).filter(|i| channel_of(&layout, *i) == channel).collect();
        let n = elements.len() as f64;
        let of_channel: Vec<f64> = elements.iter().map(|i| f64::from(x[*i])).collect();
        let [mean, m2] = exact(&of_channel);
        let invstd = 1.0 / (m2 / n + eps).sqrt();
        let expected = |x: f64| (x - mean) * invstd * f64::from(weight[channel]) + f64::from(bias[channel]);
        let largest = of_channel.iter().map(|x| expected(*x).abs()).fold(0.0, f64::max);
        for (i, x) in elements.iter().zip(&of_channel) {
            let error = (f64::from(y[*i]) - expected(*x)).abs();
            assert!(error <= 2.0 * ulp(largest), "{name}, {layout:?}: y[{i}] = {} is off by {error:e}", y[*i]);
        }
        let running =
            [(next_mean[channel], 0.9 * 0.5, 0.1 * mean), (next_variance[channel], 0.9 * 1.5, 0.1 * m2 / (n - 1.0))];
        for (actual, old, new) in running {
            let granted = (2.0 * ulp(old + new)).max(4e-7 * f64::abs(old).max(f64::abs(new)));
            let error = (f64::from(actual) - (old + new)).abs();
            assert!(error <= granted, "{name}, {layout:?}: running statistics {actual} are off by {error:e}");
        }
    }
}

#[test]
fn outputs_and_running_statistics_are_exact_where_single_precision_is_short() {
    for (name, values) in CASES {
        for (samples, length) in SHAPES {
            for format in [Format::Contiguous, Format::ChannelsLast] {
                check(name, layout(samples, 3, length, format), values);
            }
        }
    }
}
