//! Batch normalization in f64, as plain as it can be written. It shares no code with the library; data is in logical order
//! (N, C, L), and sums are of deviations from the mean, so that nothing cancels.

use crate::layer::Layer;

/// Shape of a batch: N, C, L.
pub(crate) type Shape = (usize, usize, usize);

/// What a forward pass gives.
pub(crate) struct Forward {
    pub(crate) y: Vec<f64>,
    pub(crate) mean: Vec<f64>,
    pub(crate) invstd: Vec<f64>,
    /// `running_mean` and `running_var` after the step, if the layer has them.
    pub(crate) running: Option<[Vec<f64>; 2]>,
    /// Per channel the largest term of the sums that they are, the scale of their rounding errors. What a mean sums up is
    /// the values, so its term is their root mean square: a mean of 0 is not exact when its values are not 0.
    pub(crate) terms: [Vec<f64>; 2],
}

/// What a backward pass gives.
pub(crate) struct Backward {
    pub(crate) dx: Vec<f64>,
    pub(crate) dweight: Vec<f64>,
    pub(crate) dbias: Vec<f64>,
}

/// A step's mode, as the layer's flags and the batch make it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mode {
    /// Whether the statistics are those of the batch.
    pub(crate) batch_statistics: bool,
    /// Whether the running statistics are updated, and with which weight of the new value.
    pub(crate) momentum: Option<f64>,
}

/// Forward from the layer's state before the step.
#[allow(clippy::cast_precision_loss, reason = "a batch has fewer than 2^53 values")]
pub(crate) fn forward(x: &[f32], shape: Shape, layer: &Layer, eps: f64, mode: Mode) -> Forward {
    let n = (shape.0 * shape.2) as f64;
    let running = layer.running.as_ref().map(|rows| rows.each_ref().map(|row| widened(row)));
    let value = |i: usize| f64::from(x[i]);
    let [mean, variance] = match &running {
        Some(rows) if !mode.batch_statistics || n == 0.0 => rows.clone(),
        _ => {
            let rough = divided(sums(shape, |i, _| value(i)), n);
            let residual = divided(sums(shape, |i, c| value(i) - rough[c]), n);
            let refined =
                rough.iter().zip(&residual).map(|(mean, rest)| if mean.is_finite() { mean + rest } else { *mean });
            let mean: Vec<f64> = refined.collect();
            let variance = divided(sums(shape, |i, c| (value(i) - mean[c]).powi(2)), n);
            [mean, variance]
        }
    };
    let invstd: Vec<f64> = variance.iter().map(|variance| 1.0 / (variance + eps).sqrt()).collect();
    let y = elements(shape, |i, c| (value(i) - mean[c]) * invstd[c] * layer.weight(c) + layer.bias(c));
    let observed = [mean.clone(), variance.iter().map(|variance| variance * n / (n - 1.0)).collect()];
    let momentum = mode.momentum.filter(|_| n > 0.0);
    let root_mean_square = mean.iter().zip(&variance).map(|(mean, variance)| mean.hypot(variance.sqrt())).collect();
    let summed = [root_mean_square, observed[1].clone()];
    let terms = [0, 1].map(|row| largest_terms(running.as_ref().map(|rows| &rows[row]), &summed[row], momentum));
    let running = running.map(|rows| match momentum {
        Some(p) => [0, 1].map(|row| blended(&rows[row], &observed[row], p)),
        None => rows,
    });
    Forward { y, mean, invstd, running, terms }
}

/// Backward from the mean and invstd of the forward pass.
#[allow(clippy::cast_precision_loss, reason = "a batch has fewer than 2^53 values")]
pub(crate) fn backward(
    x: &[f32],
    dy: &[f32],
    shape: Shape,
    layer: &Layer,
    mode: Mode,
    mean: &[f64],
    invstd: &[f64],
) -> Backward {
    let n = (shape.0 * shape.2) as f64;
    let (value, gradient) = (|i: usize| f64::from(x[i]), |i: usize| f64::from(dy[i]));
    let sum_dy = sums(shape, |i, _| gradient(i));
    let sum_dy_xmu = sums(shape, |i, c| gradient(i) * (value(i) - mean[c]));
    let dx = elements(shape, |i, c| {
        let scale = invstd[c] * layer.weight(c);
        if !mode.batch_statistics {
            return gradient(i) * scale;
        }
        let slope = invstd[c].powi(2) * sum_dy_xmu[c] / n;
        (gradient(i) - sum_dy[c] / n - (value(i) - mean[c]) * slope) * scale
    });
    let dweight = sum_dy_xmu.iter().zip(invstd).map(|(sum, invstd)| sum * invstd).collect();
    Backward { dx, dweight, dbias: sum_dy }
}

/// Every element (its number, its channel) through `compute`.
fn elements(shape: Shape, compute: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let (samples, channels, length) = shape;
    (0..samples * channels * length).map(|i| compute(i, i / length % channels)).collect()
}

/// Sums of a term of every element, channel by channel.
fn sums(shape: Shape, term: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let (samples, channels, length) = shape;
    let mut sums = vec![0.0; channels];
    for i in 0..samples * channels * length {
        let c = i / length % channels;
        sums[c] += term(i, c);
    }
    sums
}

fn divided(values: Vec<f64>, divisor: f64) -> Vec<f64> {
    values.into_iter().map(|value| value / divisor).collect()
}

fn widened(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

fn blended(old: &[f64], new: &[f64], momentum: f64) -> Vec<f64> {
    old.iter().zip(new).map(|(old, new)| momentum * new + (1.0 - momentum) * old).collect()
}

fn largest_terms(old: Option<&Vec<f64>>, new: &[f64], momentum: Option<f64>) -> Vec<f64> {
    let p = momentum.unwrap_or(0.0);
    let kept = |c: usize| old.map_or(0.0, |old| (1.0 - p) * old[c]);
    new.iter().enumerate().map(|(c, new)| kept(c).abs().max((p * new).abs())).collect()
}
