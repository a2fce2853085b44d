//! What is asked of every kernel for a shape: the values of a plain f64 reference, and the bits of any other way.

use syncbn_core::{
    Affine, BatchNorm, BatchNormBackward, BatchSums, Eps, EpsMode, Format, Gradients, KernelError, Kind, Layout,
    Merged, Numerics, Partial, Running, STATISTICS_ROWS, add, add_in_place, backward_input, backward_parameters,
    backward_reduce, batch_norm, batch_norm_backward, centre_of, deviations, double, evaluation_statistics, finalize,
    moments, normalize, permute, total, update_running,
};

use crate::reference::{channel_of, largest, moments as exact_moments, sums};
use crate::shapes::{Random, layout};

/// The kernels that [`check`] runs.
pub(crate) const KERNELS: [&str; 15] = [
    "moments",
    "total",
    "deviations",
    "backward_reduce",
    "merge",
    "finalize",
    "update_running",
    "evaluation_statistics",
    "normalize",
    "backward_input",
    "backward_parameters",
    "batch_norm",
    "batch_norm_backward",
    "permute",
    "add",
];

const EPS: f64 = 1e-5;
const MOMENTUM: f64 = 0.1;

type Checked = Result<(), String>;

/// A batch with everything that a training step needs.
#[derive(Clone)]
struct Batch {
    layout: Layout,
    x: Vec<f32>,
    dy: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    running: [Vec<f32>; 2],
}

/// Everything that a training step writes.
#[derive(Clone)]
struct Trained {
    statistics: Vec<f32>,
    y: Vec<f32>,
    running: [Vec<f32>; 2],
    dx: Vec<f32>,
    dweight: Vec<f32>,
    dbias: Vec<f32>,
}

/// Runs every kernel in both numerics on one shape.
pub(crate) fn check(shape: [usize; 3], format: Format, random: &mut Random) -> Checked {
    let batch = Batch::new(layout(shape, format), random);
    let told = |error: String| format!("{shape:?}, {format:?}: {error}");
    check_shape(&batch, random).map_err(told)
}

fn check_shape(batch: &Batch, random: &mut Random) -> Checked {
    let mut of_stable = None;
    for numerics in [Numerics::Stable, Numerics::Torch] {
        let (merged, trained) = in_steps(batch, numerics).map_err(|error| error.to_string())?;
        check_values(batch, numerics, &merged, &trained)?;
        check_whole_passes(batch, numerics, &trained)?;
        check_evaluation(batch, numerics)?;
        of_stable = of_stable.or(Some(trained));
    }
    let statistics = of_stable.map(|trained| trained.statistics).unwrap_or_default();
    check_sums(batch, &statistics)?;
    for ends in splits(&batch.layout, random) {
        check_split(batch, &statistics, &ends)?;
    }
    check_channel_parts(batch, &statistics, random)?;
    check_permute_and_add(batch)
}

impl Batch {
    /// Channels differ in their means, of which some are larger than the deviation; in every fourth batch some values are large.
    fn new(layout: Layout, random: &mut Random) -> Self {
        let has_outliers = random.below(4) == 0;
        let mut values = |count: usize| -> Vec<f32> { (0..count).map(|_| random.value()).collect() };
        let [means, weight, bias, running_mean] = [(); 4].map(|()| values(layout.channels()));
        let running_var = values(layout.channels()).iter().map(|value| value * value).collect();
        let [mut x, dy] = [(); 2].map(|()| values(layout.elements()));
        for (element, x) in x.iter_mut().enumerate() {
            let large = has_outliers && *x > 0.96;
            *x = (*x + 4.0 * means[channel_of(&layout, element)].powi(3)) * if large { 300.0 } else { 1.0 };
        }
        Self { layout, x, dy, weight, bias, running: [running_mean, running_var] }
    }

    fn affine(&self) -> Affine<'_> {
        Affine { weight: Some(&self.weight), bias: Some(&self.bias) }
    }

    /// Some samples as a batch of their own.
    fn shard(&self, begin: usize, end: usize) -> Self {
        let (channels, length) = (self.layout.channels(), self.layout.length());
        let elements = begin * channels * length..end * channels * length;
        Self {
            layout: layout([end - begin, channels, length], self.layout.format()),
            x: self.x[elements.clone()].to_vec(),
            dy: self.dy[elements].to_vec(),
            ..self.clone()
        }
    }

    fn partial(&self, kind: Kind, statistics: &[f32], layout: &Layout, first: u64) -> Result<Partial, KernelError> {
        match kind {
            Kind::Moments => moments(&self.x, layout, first),
            Kind::Total => total(&self.x, layout, first),
            Kind::Deviations => deviations(&self.x, &self.running[0], layout, first),
            Kind::Sums => backward_reduce(&self.dy, &self.x, statistics, layout, first),
        }
    }
}

const KINDS: [Kind; 4] = [Kind::Moments, Kind::Total, Kind::Deviations, Kind::Sums];

fn unset(count: usize) -> Vec<f32> {
    vec![f32::NAN; count]
}

/// A training step, kernel by kernel.
fn in_steps(batch: &Batch, numerics: Numerics) -> Result<(Merged, Trained), KernelError> {
    let (layout, channels) = (&batch.layout, batch.layout.channels());
    let merged = match numerics {
        Numerics::Stable => moments(&batch.x, layout, 0)?.finish()?,
        Numerics::Torch => {
            let centre = centre_of(&total(&batch.x, layout, 0)?.finish()?)?;
            deviations(&batch.x, &centre, layout, 0)?.finish()?
        }
    };
    let mut trained = Trained::unset(batch);
    let Trained { statistics, y, running: [next_mean, next_variance], dx, dweight, dbias } = &mut trained;
    finalize(&merged, Eps { value: EPS, mode: EpsMode::Plus }, statistics)?;
    let [mean, variance] = &batch.running;
    update_running(
        &merged,
        &mut Running { mean, variance, next_mean, next_variance, momentum: MOMENTUM, correction: 1 },
    )?;
    normalize(Some(&batch.x), y, layout, numerics, statistics, &batch.affine())?;
    let sums = backward_reduce(&batch.dy, &batch.x, statistics, layout, 0)?.finish()?;
    backward_parameters(&sums, statistics, Some(dweight), Some(dbias))?;
    let of_batch = BatchSums { merged: &sums, clamp_eps: None };
    backward_input(Some(&batch.dy), &batch.x, dx, layout, statistics, Some(&batch.weight), Some(of_batch))?;
    debug_assert_eq!(statistics.len(), STATISTICS_ROWS * channels);
    Ok((merged, trained))
}

impl Trained {
    fn unset(batch: &Batch) -> Self {
        let (elements, channels) = (batch.layout.elements(), batch.layout.channels());
        Self {
            statistics: unset(STATISTICS_ROWS * channels),
            y: unset(elements),
            running: [unset(channels), unset(channels)],
            dx: unset(elements),
            dweight: unset(channels),
            dbias: unset(channels),
        }
    }

    fn results(&self) -> [(&'static str, &[f32]); 7] {
        [
            ("statistics", &self.statistics),
            ("y", &self.y),
            ("running_mean", &self.running[0]),
            ("running_var", &self.running[1]),
            ("dx", &self.dx),
            ("dweight", &self.dweight),
            ("dbias", &self.dbias),
        ]
    }
}

/// One step by the whole passes, in memory of its own and in place: the bits of the steps.
fn check_whole_passes(batch: &Batch, numerics: Numerics, expected: &Trained) -> Checked {
    for in_place in [false, true] {
        let trained = whole_passes(batch, numerics, in_place).map_err(|error| error.to_string())?;
        for ((what, actual), (_, expected)) in trained.results().into_iter().zip(expected.results()) {
            same_bits(&format!("{what} of the whole passes, {numerics:?}, in place: {in_place}"), actual, expected)?;
        }
    }
    Ok(())
}

fn whole_passes(batch: &Batch, numerics: Numerics, in_place: bool) -> Result<Trained, KernelError> {
    let layout = batch.layout;
    let mut trained = Trained::unset(batch);
    let Trained { statistics, y, running: [next_mean, next_variance], dx, dweight, dbias } = &mut trained;
    let given = |values: &[f32], target: &mut Vec<f32>| {
        if in_place {
            target.copy_from_slice(values);
        }
    };
    given(&batch.x, y);
    given(&batch.dy, dx);
    let [mean, variance] = &batch.running;
    let running = Some(Running { mean, variance, next_mean, next_variance, momentum: MOMENTUM, correction: 1 });
    let args = BatchNorm { layout, numerics, eps: EPS, affine: batch.affine(), running };
    batch_norm(args, (!in_place).then_some(&batch.x), y, statistics)?;
    let args = BatchNormBackward { layout, statistics, weight: Some(&batch.weight), batch_statistics: true };
    let gradients = Gradients { dx: Some(dx), dweight: Some(dweight), dbias: Some(dbias) };
    batch_norm_backward(&args, (!in_place).then_some(&batch.dy), &batch.x, gradients)?;
    Ok(trained)
}

/// Every result of a training step against f64, or against PyTorch's formulas to the bit.
#[allow(clippy::cast_precision_loss, reason = "a batch has fewer than 2^53 values")]
fn check_values(batch: &Batch, numerics: Numerics, merged: &Merged, trained: &Trained) -> Checked {
    let layout = &batch.layout;
    let (n, channels) = (layout.values_per_channel() as f64, layout.channels());
    if layout.samples() == 0 {
        same_bits("running_mean of an empty batch", &trained.running[0], &batch.running[0])?;
        return same_bits("running_var of an empty batch", &trained.running[1], &batch.running[1]);
    }
    let x = |i: usize| f64::from(batch.x[i]);
    let [mean, m2] = exact_moments(layout, &batch.x);
    match numerics {
        Numerics::Stable => {
            let (means, m2s) = merged.values.split_at(channels);
            for c in 0..channels {
                let rms = (mean[c] * mean[c] + m2[c] / n).sqrt();
                near("mean", c, means[c], mean[c], 8e-7 * rms)?;
                near("M2", c, m2s[c], m2[c], 4e-6 * m2[c])?;
            }
        }
        Numerics::Torch => {
            for (c, centre) in merged.centre.iter().enumerate() {
                // The reference itself is off by a few roundings of f64.
                let rms = (mean[c] * mean[c] + m2[c] / n).sqrt();
                near("m", c, f64::from(*centre), mean[c], ulp(mean[c]) + 1e-14 * rms)?;
            }
            let squares = sums(layout, |i, c| f64::from((batch.x[i] - merged.centre[c]).powi(2)));
            all_near("Σ(x − m)²", &merged.values, &squares, &squares, 1e-12)?;
            return torch_by_formula(batch, merged, trained);
        }
    }
    let invstd: Vec<f64> = m2.iter().map(|m2| 1.0 / (m2 / n + EPS).sqrt()).collect();
    let scale: Vec<f64> = (0..channels).map(|c| invstd[c] * f64::from(batch.weight[c])).collect();
    let y = |i: usize, c: usize| (x(i) - mean[c]) * scale[c] + f64::from(batch.bias[c]);
    let highest = largest(layout, y);
    // A batch of few values is summed in f64.
    let ulps = if n < 32.0 { 4.0 } else { 16.0 };
    for i in 0..layout.elements() {
        let c = channel_of(layout, i);
        near("y", i, f64::from(trained.y[i]), y(i, c), ulps * ulp(highest[c]))?;
    }
    for c in 0..channels {
        let rms = (mean[c] * mean[c] + m2[c] / n).sqrt();
        for (row, (new, term)) in [(mean[c], rms), (m2[c] / (n - 1.0), m2[c] / (n - 1.0))].into_iter().enumerate() {
            let kept = (1.0 - MOMENTUM) * f64::from(batch.running[row][c]);
            let wanted = kept + MOMENTUM * new;
            let granted = ulp(wanted) + [8e-7, 4e-6][row] * MOMENTUM * term;
            let actual = f64::from(trained.running[row][c]);
            if !(n < 2.0 && row == 1 && actual.is_nan()) {
                near("running statistics", c, actual, wanted, granted)?;
            }
        }
    }
    check_gradients(batch, trained, &mean, &invstd)
}

#[allow(clippy::cast_precision_loss, reason = "a batch has fewer than 2^53 values")]
fn check_gradients(batch: &Batch, trained: &Trained, mean: &[f64], invstd: &[f64]) -> Checked {
    let (layout, n) = (&batch.layout, batch.layout.values_per_channel() as f64);
    let (x, dy) = (|i: usize| f64::from(batch.x[i]), |i: usize| f64::from(batch.dy[i]));
    let product = |i: usize, c: usize| dy(i) * (x(i) - mean[c]) * invstd[c];
    let (sum_dy, sum_product) = (sums(layout, |i, _| dy(i)), sums(layout, product));
    let terms = [sums(layout, |i, _| dy(i).abs()), sums(layout, |i, c| product(i, c).abs())];
    all_near("dbias", &widened(&trained.dbias), &sum_dy, &terms[0], 1e-6)?;
    all_near("dweight", &widened(&trained.dweight), &sum_product, &terms[1], 1e-6)?;
    let scale = |c: usize| invstd[c] * f64::from(batch.weight[c]);
    let dx =
        |i: usize, c: usize| (dy(i) - sum_dy[c] / n - (x(i) - mean[c]) * invstd[c] * sum_product[c] / n) * scale(c);
    let terms = largest(layout, |i, c| {
        (dy(i).abs() + (x(i) - mean[c]).abs() * invstd[c] * sum_product[c].abs() / n) * scale(c)
    });
    for i in 0..layout.elements() {
        let c = channel_of(layout, i);
        near("dx", i, f64::from(trained.dx[i]), dx(i, c), 2e-6 * terms[c])?;
    }
    Ok(())
}

/// `torch` numerics: PyTorch's formulas, from m and Σ(x − m)².
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "PyTorch rounds at these places")]
fn torch_by_formula(batch: &Batch, merged: &Merged, trained: &Trained) -> Checked {
    let (layout, n) = (&batch.layout, batch.layout.values_per_channel() as f32);
    let invstd = |c: usize| (1.0 / (f64::from(merged.values[c] as f32 / n) + EPS).sqrt()) as f32;
    let lines: Vec<[f32; 2]> = (0..layout.channels())
        .map(|c| {
            let alpha = invstd(c) * batch.weight[c];
            [alpha, (-merged.centre[c]).mul_add(alpha, batch.bias[c])]
        })
        .collect();
    let y: Vec<f32> = (0..layout.elements())
        .map(|i| {
            let [alpha, beta] = lines[channel_of(layout, i)];
            batch.x[i].mul_add(alpha, beta)
        })
        .collect();
    same_bits("y as PyTorch's", &trained.y, &y)?;
    let p = MOMENTUM as f32;
    let q = 1.0 - p;
    let [mean, variance] = &batch.running;
    let next_mean: Vec<f32> = mean.iter().zip(&merged.centre).map(|(old, m)| p * m + q * old).collect();
    same_bits("running_mean as PyTorch's", &trained.running[0], &next_mean)?;
    let unbiased = |c: usize| merged.values[c] as f32 / (n - 1.0);
    let blend = |(c, old): (usize, &f32)| (f64::from(p) * f64::from(unbiased(c)) + f64::from(q * old)) as f32;
    let next_variance: Vec<f32> = variance.iter().enumerate().map(blend).collect();
    same_bits("running_var as PyTorch's", &trained.running[1], &next_variance)
}

/// The sums of the kinds that no result shows by itself.
fn check_sums(batch: &Batch, statistics: &[f32]) -> Checked {
    let layout = &batch.layout;
    let whole = |kind| -> Result<Merged, String> {
        batch.partial(kind, statistics, layout, 0).and_then(Partial::finish).map_err(|error| error.to_string())
    };
    let x = |i: usize| f64::from(batch.x[i]);
    let magnitudes = sums(layout, |i, _| x(i).abs());
    all_near("Σx", &whole(Kind::Total)?.values, &sums(layout, |i, _| x(i)), &magnitudes, 1e-12)?;
    let squares = sums(layout, |i, c| f64::from((batch.x[i] - batch.running[0][c]).powi(2)));
    all_near("Σ(x − centre)²", &whole(Kind::Deviations)?.values, &squares, &squares, 1e-12)
}

/// Evaluation, forward and backward.
fn check_evaluation(batch: &Batch, numerics: Numerics) -> Checked {
    let layout = &batch.layout;
    let told = |error: KernelError| error.to_string();
    let [mean, variance] = &batch.running;
    let [mut y, mut dx] = [(); 2].map(|()| unset(layout.elements()));
    let mut statistics = unset(STATISTICS_ROWS * layout.channels());
    evaluation_statistics(mean, variance, numerics, EPS, &mut statistics).map_err(told)?;
    normalize(Some(&batch.x), &mut y, layout, numerics, &statistics, &batch.affine()).map_err(told)?;
    backward_input(Some(&batch.dy), &batch.x, &mut dx, layout, &statistics, Some(&batch.weight), None).map_err(told)?;
    let scale = |c: usize| f64::from(batch.weight[c]) / (f64::from(variance[c]) + EPS).sqrt();
    for i in 0..layout.elements() {
        let c = channel_of(layout, i);
        let terms = [f64::from(batch.x[i]) * scale(c), f64::from(mean[c]) * scale(c), f64::from(batch.bias[c])];
        let granted = 4e-7 * terms.iter().map(|term| term.abs()).sum::<f64>();
        near("y in evaluation", i, f64::from(y[i]), terms[0] - terms[1] + terms[2], granted)?;
        let gradient = f64::from(batch.dy[i]) * scale(c);
        near("dx in evaluation", i, f64::from(dx[i]), gradient, 4e-7 * gradient.abs())?;
    }
    let mut whole = unset(layout.elements());
    let args = BatchNormBackward {
        layout: *layout,
        statistics: &statistics,
        weight: Some(&batch.weight),
        batch_statistics: false,
    };
    let [mut dweight, mut dbias] = [(); 2].map(|()| unset(layout.channels()));
    let gradients = Gradients { dx: Some(&mut whole), dweight: Some(&mut dweight), dbias: Some(&mut dbias) };
    batch_norm_backward(&args, Some(&batch.dy), &batch.x, gradients).map_err(told)?;
    same_bits("dx of the whole pass in evaluation", &whole, &dx)?;
    let sums = backward_reduce(&batch.dy, &batch.x, &statistics, layout, 0).and_then(Partial::finish).map_err(told)?;
    let [mut of_steps_weight, mut of_steps_bias] = [(); 2].map(|()| unset(layout.channels()));
    backward_parameters(&sums, &statistics, Some(&mut of_steps_weight), Some(&mut of_steps_bias)).map_err(told)?;
    same_bits("dweight of the whole pass in evaluation", &dweight, &of_steps_weight)?;
    same_bits("dbias of the whole pass in evaluation", &dbias, &of_steps_bias)
}

/// The ends of shards: every cut in two where samples are few, otherwise cuts around leaves and random ones; and many shards at once.
fn splits(layout: &Layout, random: &mut Random) -> Vec<Vec<usize>> {
    let (samples, leaf) = (layout.samples(), layout.leaf_samples());
    let mut splits: Vec<Vec<usize>> = if samples <= 12 && layout.elements() <= 4096 {
        (0..=samples).map(|cut| vec![cut]).collect()
    } else {
        let around =
            [1, leaf - 1, leaf, leaf + 1, 4 * leaf, 4 * leaf + 1, samples - samples % leaf, samples.saturating_sub(1)];
        let count = if layout.elements() > 1 << 15 { 2 } else { 4 };
        (0..=count)
            .map(|i| vec![if i == count { random.below(samples) } else { around[random.below(around.len())] }])
            .collect()
    };
    let mut many: Vec<usize> = (0..random.below(8)).map(|_| random.below(samples + 1)).collect();
    many.sort_unstable();
    splits.push(many);
    for ends in &mut splits {
        ends.retain(|end| *end <= samples);
        ends.push(samples);
    }
    splits
}

/// Shards give the bytes of the whole, merged from left to right, and their normalized samples its samples.
fn check_split(batch: &Batch, statistics: &[f32], ends: &[usize]) -> Checked {
    let begins = [0].iter().chain(ends);
    let shards: Vec<(u64, Batch)> =
        begins.zip(ends).map(|(begin, end)| (*begin as u64, batch.shard(*begin, *end))).collect();
    let told = |error: KernelError| format!("shards that end at {ends:?}: {error}");
    for kind in KINDS {
        let mut bytes = Vec::new();
        for (first, shard) in &shards {
            bytes.extend(shard.partial(kind, statistics, &shard.layout, *first).map_err(told)?.to_bytes());
        }
        let merged = Partial::merge_bytes(&bytes).map_err(told)?;
        let whole = batch.partial(kind, statistics, &batch.layout, 0).map_err(told)?;
        if merged.to_bytes() != whole.to_bytes() {
            return Err(format!("{kind:?} of shards that end at {ends:?} are not those of the whole"));
        }
    }
    let sums = batch.partial(Kind::Sums, statistics, &batch.layout, 0).and_then(Partial::finish).map_err(told)?;
    let map = |batch: &Batch| -> Result<[Vec<f32>; 3], KernelError> {
        let layout = &batch.layout;
        let mut results = [(); 3].map(|()| unset(layout.elements()));
        let [stable, torch, dx] = &mut results;
        normalize(Some(&batch.x), stable, layout, Numerics::Stable, statistics, &batch.affine())?;
        normalize(Some(&batch.x), torch, layout, Numerics::Torch, statistics, &batch.affine())?;
        let of_batch = BatchSums { merged: &sums, clamp_eps: None };
        backward_input(Some(&batch.dy), &batch.x, dx, layout, statistics, None, Some(of_batch))?;
        Ok(results)
    };
    let of_whole = map(batch).map_err(told)?;
    let mut done = 0;
    for (_, shard) in &shards {
        let of_shard = map(shard).map_err(told)?;
        for (actual, expected) in of_shard.iter().zip(&of_whole) {
            let expected = &expected[done..done + actual.len()];
            same_bits(&format!("a shard of those that end at {ends:?}"), actual, expected)?;
        }
        done += shard.layout.elements();
    }
    Ok(())
}

/// Some channels of planes alone have the bits they have among all, and nothing else is written.
fn check_channel_parts(batch: &Batch, statistics: &[f32], random: &mut Random) -> Checked {
    let channels = batch.layout.channels();
    if batch.layout.format() == Format::ChannelsLast || batch.layout.leaf_samples() > 1 {
        return Ok(());
    }
    let told = |error: KernelError| error.to_string();
    let begin = random.below(channels);
    let part = begin..begin + 1 + random.below(channels - begin);
    let layout = batch.layout.of_channels(part.clone()).map_err(told)?;
    for kind in KINDS {
        let values = |layout: &Layout| -> Result<Vec<u64>, String> {
            let merged = batch.partial(kind, statistics, layout, 0).and_then(Partial::finish).map_err(told)?;
            Ok(merged.values.iter().map(|value| value.to_bits()).collect())
        };
        let (all, some) = (values(&batch.layout)?, values(&layout)?);
        for (all, some) in all.chunks(channels).zip(some.chunks(part.len())) {
            if all[part.clone()] != *some {
                return Err(format!("{kind:?} of the channels {part:?} alone"));
            }
        }
    }
    let [mut all, mut some] = [(); 2].map(|()| unset(batch.layout.elements()));
    for (layout, y) in [(&batch.layout, &mut all), (&layout, &mut some)] {
        normalize(Some(&batch.x), y, layout, Numerics::Stable, statistics, &batch.affine()).map_err(told)?;
    }
    for (i, y) in all.iter_mut().enumerate() {
        if !part.contains(&channel_of(&layout, i)) {
            *y = f32::NAN;
        }
    }
    same_bits("y of some channels alone", &some, &all)
}

fn check_permute_and_add(batch: &Batch) -> Checked {
    let told = |error: KernelError| error.to_string();
    let (n, channels, length) = (batch.layout.samples(), batch.layout.channels(), batch.layout.length());
    let other = match batch.layout.format() {
        Format::Contiguous => Format::ChannelsLast,
        Format::ChannelsLast => Format::Contiguous,
    };
    let [mut there, mut back] = [(); 2].map(|()| unset(batch.layout.elements()));
    permute(&batch.x, &mut there, &batch.layout).map_err(told)?;
    permute(&there, &mut back, &layout([n, channels, length], other)).map_err(told)?;
    same_bits("permute there and back", &back, &batch.x)?;
    let place = |i: usize| match batch.layout.format() {
        Format::Contiguous => (i / (channels * length) * length + i % length) * channels + i / length % channels,
        Format::ChannelsLast => (i / (channels * length) * channels + i % channels) * length + i / channels % length,
    };
    let moved: Vec<f32> = (0..batch.x.len()).map(|i| there[place(i)]).collect();
    same_bits("permute", &moved, &batch.x)?;
    let sums: Vec<f32> = batch.x.iter().zip(&batch.dy).map(|(a, b)| a + b).collect();
    let (mut sum, mut in_place, mut doubled) = (unset(sums.len()), batch.x.clone(), batch.x.clone());
    add(&batch.x, &batch.dy, &mut sum).map_err(told)?;
    add_in_place(&mut in_place, &batch.dy).map_err(told)?;
    double(&mut doubled);
    same_bits("add", &sum, &sums)?;
    same_bits("add in place", &in_place, &sums)?;
    same_bits("double", &doubled, &batch.x.iter().map(|x| x + x).collect::<Vec<_>>())
}

fn widened(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// Distance from a f32 number to the next larger one.
fn ulp(value: f64) -> f64 {
    #[allow(clippy::cast_possible_truncation, reason = "the distance is between f32 numbers")]
    let single = (value as f32).abs();
    f64::from(f32::from_bits(single.to_bits() + 1)) - f64::from(single)
}

fn all_near(what: &str, actual: &[f64], expected: &[f64], terms: &[f64], relative: f64) -> Checked {
    let mut numbered = actual.iter().zip(expected).zip(terms).enumerate();
    numbered.try_for_each(|(i, ((actual, expected), term))| near(what, i, *actual, *expected, relative * term))
}

/// NaN on either side is not near.
fn near(what: &str, place: usize, actual: f64, expected: f64, granted: f64) -> Checked {
    if (actual - expected).abs() <= granted {
        return Ok(());
    }
    Err(format!("{what} at {place} is {actual:e}, expected {expected:e} ± {granted:e}"))
}

/// 0 and −0 differ, and NaN equals NaN.
fn same_bits(what: &str, actual: &[f32], expected: &[f32]) -> Checked {
    let differ = |(a, b): (&f32, &f32)| a.to_bits() != b.to_bits() && !(a.is_nan() && b.is_nan());
    match actual.iter().zip(expected).position(differ) {
        None if actual.len() == expected.len() => Ok(()),
        Some(i) => Err(format!("{what}: at {i} are the bits of {:e}, expected those of {:e}", actual[i], expected[i])),
        None => Err(format!("{what}: {} values, expected {}", actual.len(), expected.len())),
    }
}
