//! A training step in f64, straight from the formulas.

use syncbn_core::{Format, STATISTICS_ROWS};

use crate::device::Case;
use crate::step::{EPS, MOMENTUM, Outcome, Step};

/// Index of a value of a batch.
fn place(case: &Case, sample: usize, channel: usize, position: usize) -> usize {
    match case.format {
        Format::Contiguous => (sample * case.channels + channel) * case.length + position,
        Format::ChannelsLast => (sample * case.length + position) * case.channels + channel,
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "each result is rounded once")]
pub(crate) fn step(step: &Step) -> Outcome {
    let case = &step.case;
    let mut outcome = Outcome {
        statistics: vec![0.0; STATISTICS_ROWS * case.channels],
        y: vec![0.0; step.x.len()],
        running_mean: step.running_mean.clone(),
        running_var: step.running_var.clone(),
        dx: vec![0.0; step.x.len()],
        dweight: vec![0.0; case.channels],
        dbias: vec![0.0; case.channels],
    };
    let n = (case.samples * case.length) as f64;
    for channel in (0..case.channels).filter(|_| n > 0.0) {
        let places = || (0..case.samples).flat_map(|s| (0..case.length).map(move |p| place(case, s, channel, p)));
        let [x, dy] = [&step.x, &step.dy].map(|data| move |i: usize| f64::from(data[i]));
        let mean = places().map(&x).sum::<f64>() / n;
        let m2 = places().map(|i| (x(i) - mean).powi(2)).sum::<f64>();
        let invstd = 1.0 / (m2 / n + EPS).sqrt();
        for (row, value) in [mean, mean - f64::from(mean as f32), invstd, 0.0].into_iter().enumerate() {
            outcome.statistics[row * case.channels + channel] = value as f32;
        }
        let [weight, bias] = [&step.weight, &step.bias].map(|vector| f64::from(vector[channel]));
        let sum_dy = places().map(&dy).sum::<f64>();
        let sum_dy_xmu = places().map(|i| dy(i) * (x(i) - mean)).sum::<f64>();
        for i in places() {
            outcome.y[i] = ((x(i) - mean) * invstd * weight + bias) as f32;
            let through_x = (x(i) - mean) * invstd * invstd * sum_dy_xmu / n;
            outcome.dx[i] = ((dy(i) - sum_dy / n - through_x) * invstd * weight) as f32;
        }
        let blend = |old: f32, new: f64| ((1.0 - MOMENTUM) * f64::from(old) + MOMENTUM * new) as f32;
        outcome.running_mean[channel] = blend(step.running_mean[channel], mean);
        outcome.running_var[channel] = blend(step.running_var[channel], m2 / (n - 1.0));
        outcome.dweight[channel] = (sum_dy_xmu * invstd) as f32;
        outcome.dbias[channel] = sum_dy as f32;
    }
    outcome
}
