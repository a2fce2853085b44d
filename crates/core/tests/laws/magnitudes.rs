//! Values of every magnitude that single precision has, with every `eps`: the results are those of f64, rounded.

use syncbn_core::{
    Affine, BatchNorm, BatchNormBackward, BatchSums, Eps, EpsMode, Format, Gradients, Layout, Numerics, Partial,
    Running, STATISTICS_ROWS, backward_input, backward_reduce, batch_norm, batch_norm_backward, evaluation_statistics,
    finalize, moments, normalize,
};

use crate::batch::{Random, bits, channel_of, layout};

/// Planes, planes of several blocks, samples that share a leaf, narrow and wide rows, few and many.
const SHAPES: [[usize; 3]; 10] = [
    [2, 3, 40],
    [1, 2, 1500],
    [40, 3, 5],
    [7, 1, 2],
    [2, 3, 1],
    [150, 3, 1],
    [150, 68, 1],
    [33, 66, 2],
    [1, 70, 17],
    [3, 4, 16],
];
const EPS: [f64; 8] = [1e-45, 1e-44, 1e-30, 1e-20, 1e-12, 1e-5, 1.0, 1e10];

/// The value of a channel at a place, given a random number between −1 and 1.
type Pattern = fn(usize, f32) -> f32;

/// Numbers around 0 whose largest is about 1.
const PATTERNS: [(&str, Pattern); 5] = [
    ("i mod 7", |i, _| [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0][i % 7] / 6.0),
    ("±1", |i, _| [1.0, -1.0][i % 2]),
    ("random", |_, random| random),
    ("random with an outlier", |i, random| if i == 0 { 1.0 } else { 1e-3 * random }),
    ("all equal", |_, _| 1.0),
];

struct Case {
    name: String,
    layout: Layout,
    eps: f64,
    x: Vec<f32>,
    dy: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

/// What f64 gives of one channel.
struct Exact {
    elements: Vec<usize>,
    mean: f64,
    m2: f64,
    invstd: f64,
    sum_dy: f64,
    sum_dy_xmu: f64,
}

impl Case {
    fn new(shape: [usize; 3], format: Format, pattern: usize, scale: f64, eps: f64, of_dy: f32) -> Self {
        let layout = layout(shape[0], shape[1], shape[2], format);
        // In rows of whole vectors deviations below 1e-23 that cancel are taken for none.
        let eps = if shape[1].is_multiple_of(4) { eps.max(f64::from(f32::MIN_POSITIVE)) } else { eps };
        let mut random = Random(3);
        let (name, value) = PATTERNS[pattern];
        // Neighbouring channels differ, so that one that leaves the range stands beside one that does not.
        let scale_of = |channel: usize| if channel % 3 == 1 { scale.sqrt() } else { scale };
        let mut seen = vec![0; layout.channels()];
        #[allow(clippy::cast_possible_truncation, reason = "the input is f32")]
        let mut x_of = |i: usize| {
            let channel = channel_of(&layout, i);
            seen[channel] += 1;
            (f64::from(value(seen[channel] - 1, random.next())) * scale_of(channel)) as f32
        };
        let x = (0..layout.elements()).map(&mut x_of).collect();
        let dy = Random(4).values(layout.elements()).iter().map(|dy| dy * of_dy).collect();
        let [weight, bias] = [5, 6].map(|seed| Random(seed).values(layout.channels()));
        let name = format!("{name}, scale {scale:e}, {layout:?}, eps {eps:e}, dy {of_dy:e}");
        Self { name, layout, eps, x, dy, weight, bias }
    }

    fn exact(&self, channel: usize) -> Exact {
        let elements: Vec<usize> = (0..self.x.len()).filter(|i| channel_of(&self.layout, *i) == channel).collect();
        let n = elements.len() as f64;
        let x = |i: usize| f64::from(self.x[i]);
        // Relative to the first value, so that equal ones have no deviation at all.
        let first = x(elements[0]);
        let shift = elements.iter().map(|i| x(*i) - first).sum::<f64>() / n;
        let m2: f64 = elements.iter().map(|i| (x(*i) - first - shift).powi(2)).sum();
        let mean = first + shift;
        let sum_dy = elements.iter().map(|i| f64::from(self.dy[*i])).sum();
        let sum_dy_xmu = elements.iter().map(|i| f64::from(self.dy[*i]) * (x(*i) - first - shift)).sum();
        let invstd = 1.0 / (m2 / n + self.eps).sqrt();
        Exact { elements, mean, m2, invstd, sum_dy, sum_dy_xmu }
    }

    fn near(&self, what: &str, actual: f32, expected: f64, granted: f64) {
        #[allow(clippy::cast_possible_truncation, reason = "what is beyond f32 must be infinite")]
        let is_right =
            (f64::from(actual) - expected).abs() <= granted || actual.to_bits() == (expected as f32).to_bits();
        assert!(is_right, "{}: {what} is {actual:e}, expected {expected:e} ± {granted:e}", self.name);
    }

    fn check_training(&self) {
        let (layout, channels) = (self.layout, self.layout.channels());
        let mut y = vec![f32::NAN; self.x.len()];
        let mut statistics = vec![f32::NAN; STATISTICS_ROWS * channels];
        let (old_mean, old_variance) = (vec![0.5; channels], vec![1.5; channels]);
        let (mut next_mean, mut next_variance) = (vec![0.0; channels], vec![0.0; channels]);
        let running = Running {
            mean: &old_mean,
            variance: &old_variance,
            next_mean: &mut next_mean,
            next_variance: &mut next_variance,
            momentum: 0.1,
            correction: 1,
        };
        let affine = Affine { weight: Some(&self.weight), bias: Some(&self.bias) };
        let args = BatchNorm { layout, numerics: Numerics::Stable, eps: self.eps, affine, running: Some(running) };
        batch_norm(args, Some(&self.x), &mut y, &mut statistics).expect("lengths fit");
        let args =
            BatchNormBackward { layout, statistics: &statistics, weight: Some(&self.weight), batch_statistics: true };
        let mut dx = self.dy.clone();
        let [mut dweight, mut dbias] = [(); 2].map(|()| vec![f32::NAN; channels]);
        let gradients = Gradients { dx: Some(&mut dx), dweight: Some(&mut dweight), dbias: Some(&mut dbias) };
        batch_norm_backward(&args, None, &self.x, gradients).expect("lengths fit");
        for channel in 0..channels {
            let exact = self.exact(channel);
            let n = exact.elements.len() as f64;
            let (w, b) = (f64::from(self.weight[channel]), f64::from(self.bias[channel]));
            let x_hat = |i: usize| (f64::from(self.x[i]) - exact.mean) * exact.invstd;
            let largest = exact.elements.iter().map(|i| x_hat(*i).abs()).fold(0.0, f64::max);
            let of_dy = exact.elements.iter().map(|i| f64::from(self.dy[*i]).abs()).fold(0.0, f64::max);
            let of_x = exact.sum_dy_xmu * exact.invstd / n;
            let scale = exact.invstd * w;
            for i in &exact.elements {
                self.near("y", y[*i], x_hat(*i) * w + b, 1e-6 * (largest * w.abs() + b.abs()));
                let expected = (f64::from(self.dy[*i]) - exact.sum_dy / n - x_hat(*i) * of_x) * scale;
                let term = (of_dy + largest * of_x.abs()) * scale.abs();
                self.near("dx", dx[*i], expected, 2e-6 * term + 1e-44);
            }
            let terms = n * of_dy * largest;
            // Products below the normal range are as coarse as the numbers there.
            let granted = 1e-6 * terms + n * f64::from(f32::from_bits(1)) * exact.invstd.max(1.0);
            self.near("dweight", dweight[channel], exact.sum_dy_xmu * exact.invstd, granted);
            self.near("dbias", dbias[channel], exact.sum_dy, 1e-6 * n * of_dy);
            let rms = exact.mean.hypot((exact.m2 / n).sqrt());
            self.near("running mean", next_mean[channel], 0.45 + 0.1 * exact.mean, 4e-7 * (0.45 + 0.1 * rms));
            let variance = exact.m2 / (n - 1.0);
            self.near(
                "running variance",
                next_variance[channel],
                1.35 + 0.1 * variance,
                1e-6 * (1.35 + 0.1 * variance),
            );
        }
        self.check_shards(&statistics, &y, &dx);
    }

    /// Two shards give the bits of the whole, also where leaves are cut.
    fn check_shards(&self, statistics: &[f32], y: &[f32], dx: &[f32]) {
        let (samples, channels, length) = (self.layout.samples(), self.layout.channels(), self.layout.length());
        let cut = samples / 3;
        let elements = cut * channels * length;
        let shards = [
            (0, layout(cut, channels, length, self.layout.format()), 0..elements),
            (cut as u64, layout(samples - cut, channels, length, self.layout.format()), elements..self.x.len()),
        ];
        let mut merged_moments: Option<Partial> = None;
        let mut merged_sums: Option<Partial> = None;
        let merge = |merged: &mut Option<Partial>, partial: Partial| match merged {
            Some(merged) => merged.merge(partial).expect("adjacent"),
            None => *merged = Some(partial),
        };
        for (first, layout, range) in shards.clone() {
            let (x, dy) = (&self.x[range.clone()], &self.dy[range]);
            merge(&mut merged_moments, moments(x, &layout, first).expect("lengths fit"));
            merge(&mut merged_sums, backward_reduce(dy, x, statistics, &layout, first).expect("lengths fit"));
        }
        let finish = |merged: Option<Partial>| merged.expect("two shards").finish().expect("a whole batch");
        let mut of_shards = vec![f32::NAN; statistics.len()];
        let eps = Eps { value: self.eps, mode: EpsMode::Plus };
        finalize(&finish(merged_moments), eps, &mut of_shards).expect("lengths fit");
        assert_eq!(bits(&of_shards), bits(statistics), "{}: statistics of two shards", self.name);
        let sums = finish(merged_sums);
        let affine = Affine { weight: Some(&self.weight), bias: Some(&self.bias) };
        for (_, layout, range) in shards {
            let mut out = self.x[range.clone()].to_vec();
            normalize(None, &mut out, &layout, Numerics::Stable, statistics, &affine).expect("lengths fit");
            assert_eq!(bits(&out), bits(&y[range.clone()]), "{}: y of two shards", self.name);
            let of_batch = BatchSums { merged: &sums, clamp_eps: None };
            let (x, dy) = (&self.x[range.clone()], &self.dy[range.clone()]);
            backward_input(Some(dy), x, &mut out, &layout, statistics, Some(&self.weight), Some(of_batch))
                .expect("lengths fit");
            assert_eq!(bits(&out), bits(&dx[range]), "{}: dx of two shards", self.name);
        }
    }

    /// Evaluation with running statistics of the magnitude of the batch.
    fn check_evaluation(&self, scale: f64) {
        let (layout, channels) = (&self.layout, self.layout.channels());
        #[allow(clippy::cast_possible_truncation, reason = "running statistics are f32")]
        let (mean, variance) = (vec![(0.3 * scale) as f32; channels], vec![(scale * scale) as f32; channels]);
        let mut statistics = vec![f32::NAN; STATISTICS_ROWS * channels];
        evaluation_statistics(&mean, &variance, Numerics::Stable, self.eps, &mut statistics).expect("lengths fit");
        let affine = Affine { weight: Some(&self.weight), bias: Some(&self.bias) };
        let (mut y, mut dx) = (self.x.clone(), self.dy.clone());
        normalize(None, &mut y, layout, Numerics::Stable, &statistics, &affine).expect("lengths fit");
        backward_input(None, &self.x, &mut dx, layout, &statistics, Some(&self.weight), None).expect("lengths fit");
        for i in 0..self.x.len() {
            let c = channel_of(layout, i);
            let scale = f64::from(self.weight[c]) / (f64::from(variance[c]) + self.eps).sqrt();
            let (x, mean, b) = (f64::from(self.x[i]), f64::from(mean[c]), f64::from(self.bias[c]));
            let granted = 1e-6 * ((x * scale).abs() + (mean * scale).abs() + b.abs());
            self.near("y in evaluation", y[i], (x - mean) * scale + b, granted);
            let expected = f64::from(self.dy[i]) * scale;
            self.near("dx in evaluation", dx[i], expected, 1e-6 * expected.abs() + 1e-44);
        }
    }
}

impl Case {
    /// The gradients of weight and bias in evaluation, whose statistics need not fit the batch.
    fn check_gradients_of_evaluation(&self, mean: f32, variance: f32) {
        let (layout, channels) = (self.layout, self.layout.channels());
        let mut statistics = vec![f32::NAN; STATISTICS_ROWS * channels];
        let (means, variances) = (vec![mean; channels], vec![variance; channels]);
        evaluation_statistics(&means, &variances, Numerics::Stable, self.eps, &mut statistics).expect("lengths fit");
        let args = BatchNormBackward { layout, statistics: &statistics, weight: None, batch_statistics: false };
        let [mut dweight, mut dbias] = [(); 2].map(|()| vec![f32::NAN; channels]);
        let gradients = Gradients { dx: None, dweight: Some(&mut dweight), dbias: Some(&mut dbias) };
        batch_norm_backward(&args, Some(&self.dy), &self.x, gradients).expect("lengths fit");
        let invstd = 1.0 / (f64::from(variance) + self.eps).sqrt();
        for channel in 0..channels {
            let elements = (0..self.x.len()).filter(|i| channel_of(&self.layout, *i) == channel);
            let pairs = elements.map(|i| (f64::from(self.dy[i]), f64::from(self.x[i]) - f64::from(mean)));
            let [mut sum_dy, mut sum_dy_xmu, mut of_dy, mut of_products, mut n] = [0.0; 5];
            for (dy, xmu) in pairs {
                sum_dy += dy;
                sum_dy_xmu += dy * xmu;
                of_dy += f64::abs(dy);
                of_products += f64::abs(dy * xmu);
                n += 1.0;
            }
            let granted = 1e-6 * of_products * invstd + n * f64::from(f32::from_bits(1)) * invstd.max(1.0);
            let what = format!("dweight with running mean {mean:e} and variance {variance:e}");
            self.near(&what, dweight[channel], sum_dy_xmu * invstd, granted);
            self.near("dbias in evaluation", dbias[channel], sum_dy, 1e-6 * of_dy);
        }
        let [sums, of_shards] = [0, self.layout.samples() / 3].map(|cut| self.sums_of_shards(&statistics, cut));
        assert_eq!(of_shards, sums, "{}: backward sums of two shards", self.name);
    }

    /// The bits of the backward sums of the batch, cut before a sample.
    fn sums_of_shards(&self, statistics: &[f32], cut: usize) -> Vec<u64> {
        let (channels, length, format) = (self.layout.channels(), self.layout.length(), self.layout.format());
        let place = cut * channels * length;
        let reduce = |range: std::ops::Range<usize>, first: u64| {
            let layout = layout(range.len() / (channels * length), channels, length, format);
            backward_reduce(&self.dy[range.clone()], &self.x[range], statistics, &layout, first).expect("lengths fit")
        };
        let mut merged = reduce(0..place, 0);
        merged.merge(reduce(place..self.x.len(), cut as u64)).expect("adjacent");
        merged.finish().expect("a whole batch").values.into_iter().map(f64::to_bits).collect()
    }
}

const FORMATS: [Format; 2] = [Format::Contiguous, Format::ChannelsLast];

#[test]
fn every_magnitude_of_the_input_gives_what_f64_gives() {
    let scales = (-41..=38).map(|exponent| 10.0_f64.powi(exponent)).chain([f64::from(f32::MAX)]);
    for (number, scale) in scales.enumerate() {
        for pattern in 0..PATTERNS.len() {
            // Over all scales and patterns each shape meets every eps and both formats.
            for (i, shape) in SHAPES.into_iter().enumerate().skip((number + pattern) % 3).step_by(3) {
                let eps = EPS[(number + pattern + i) % EPS.len()];
                let case = Case::new(shape, FORMATS[(number + i) % 2], pattern, scale, eps, 1.0);
                case.check_training();
                case.check_evaluation(scale);
            }
        }
    }
}

#[test]
fn every_eps_guards_deviations_of_its_own_magnitude() {
    for (number, eps) in EPS.into_iter().enumerate() {
        for pattern in 0..PATTERNS.len() {
            for (i, shape) in SHAPES.into_iter().enumerate() {
                let factor = [0.1, 1.0, 10.0][(number + pattern + i) % 3];
                for format in FORMATS {
                    Case::new(shape, format, pattern, factor * eps.sqrt(), eps, 1.0).check_training();
                }
            }
        }
    }
}

#[test]
fn gradients_of_any_moderate_magnitude_give_what_f64_gives() {
    for of_dy in [1e-20, 1e-10, 1e10, 1e20] {
        for scale in [1e-20, 1e-10, 1e-3, 1.0, 1e10, 1e20, 1e30] {
            for shape in SHAPES {
                for format in FORMATS {
                    Case::new(shape, format, 2, scale, 1e-45, of_dy).check_training();
                }
            }
        }
    }
}

#[test]
fn gradients_of_evaluation_give_what_f64_gives_wherever_the_batch_lies() {
    let statistics =
        [(0.0, 1.0), (1.0, 1e-30), (1e36, 1e10), (-1e36, 1e38), (3e38, 1.0), (-1e20, 1e-40), (1e-20, 1e-38)];
    for (number, scale) in [1e-20, 1.0, 1e10, 1e20, 1e36, 3e38].into_iter().enumerate() {
        for of_dy in [1e-10, 1.0, 1e3, 1e20, 1e38] {
            for (i, shape) in SHAPES.into_iter().enumerate() {
                for (j, (mean, variance)) in statistics.into_iter().enumerate() {
                    let case =
                        Case::new(shape, FORMATS[(i + j) % 2], (number + i + j) % PATTERNS.len(), scale, 1e-45, of_dy);
                    case.check_gradients_of_evaluation(mean, variance);
                }
            }
        }
    }
}
