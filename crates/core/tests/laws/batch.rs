//! Batches of every shape that the kernels tell apart.

use std::fmt::{Debug, Formatter};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use syncbn_core::{Format, Layout, Numerics, STATISTICS_ROWS};

use crate::training_step::TrainingStep;

/// Both sides of every boundary: vectors, leaves of one and of several samples, blocks of f32 sums.
const LENGTHS: [usize; 13] = [1, 2, 3, 7, 16, 31, 32, 33, 49, 100, 1024, 1025, 3000];
/// Parts of a vector, whole vectors, narrow and wide rows, one column more than a strip has.
const CHANNELS: [usize; 11] = [1, 2, 3, 4, 5, 12, 17, 64, 66, 68, 2052];
/// Elements of the largest batch.
const ELEMENTS: usize = 60_000;
/// Samples of the longest batch: several leaves even where 32 samples share one.
const SAMPLES: usize = 300;

/// As many cases as a law is worth, the same ones in every run.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(0x5B9), failure_persistence: None, ..ProptestConfig::default() }
}

/// A batch with everything that a training step needs.
#[derive(Clone)]
pub(crate) struct Batch {
    pub(crate) layout: Layout,
    pub(crate) x: Vec<f32>,
    pub(crate) dy: Vec<f32>,
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    pub(crate) running_mean: Vec<f32>,
    pub(crate) running_var: Vec<f32>,
}

impl Debug for Batch {
    /// The shape says enough: values follow from the seed.
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        self.layout.fmt(formatter)
    }
}

impl Batch {
    /// Values of a batch whose channels have different means, of which some are larger than the deviation. Every fourth batch
    /// has outliers, so that what a few values say of a channel is wrong.
    pub(crate) fn new(layout: Layout, seed: u64) -> Self {
        let mut random = Random(seed);
        let channels = layout.channels();
        let means: Vec<f32> = (0..channels).map(|_| 4.0 * random.next().powi(3)).collect();
        let mut x = random.values(layout.elements());
        for (element, x) in x.iter_mut().enumerate() {
            *x += means[channel_of(&layout, element)];
            if seed.is_multiple_of(4) && random.next() > 0.98 {
                *x *= 300.0;
            }
        }
        let dy = random.values(layout.elements());
        let [weight, bias, running_mean] = [(); 3].map(|()| random.values(channels));
        let running_var = random.values(channels).into_iter().map(|value| value * value).collect();
        Self { layout, x, dy, weight, bias, running_mean, running_var }
    }

    /// A training step on the batch, y and dx in memory of their own.
    pub(crate) fn step(&self, numerics: Numerics) -> TrainingStep<'_> {
        TrainingStep {
            layout: self.layout,
            numerics,
            x: &self.x,
            dy: &self.dy,
            weight: &self.weight,
            bias: &self.bias,
            running_mean: &self.running_mean,
            running_var: &self.running_var,
            in_place: false,
        }
    }

    /// The samples of a range as a batch of their own.
    pub(crate) fn shard(&self, samples: std::ops::Range<usize>) -> Self {
        let size = self.layout.channels() * self.layout.length();
        let elements = samples.start * size..samples.end * size;
        Self {
            layout: layout(samples.len(), self.layout.channels(), self.layout.length(), self.layout.format()),
            x: self.x[elements.clone()].to_vec(),
            dy: self.dy[elements].to_vec(),
            ..self.clone()
        }
    }

    /// Statistics that need not be those of the batch.
    pub(crate) fn some_statistics(&self) -> Vec<f32> {
        let channels = self.layout.channels();
        let mut rows = vec![0.0; STATISTICS_ROWS * channels];
        rows[..channels].copy_from_slice(&self.running_mean);
        rows[channels..2 * channels].fill(1e-9);
        rows[2 * channels..3 * channels].fill(1.5);
        rows
    }
}

/// Channel of an element of memory.
pub(crate) fn channel_of(layout: &Layout, element: usize) -> usize {
    match layout.format() {
        Format::Contiguous => element / layout.length() % layout.channels(),
        Format::ChannelsLast => element % layout.channels(),
    }
}

pub(crate) fn layout(samples: usize, channels: usize, length: usize, format: Format) -> Layout {
    Layout::new(samples, channels, length, format).expect("a moderate shape")
}

pub(crate) fn formats() -> impl Strategy<Value = Format> {
    prop_oneof![Just(Format::Contiguous), Just(Format::ChannelsLast)]
}

/// Batches of all lengths and formats, the empty one among them.
pub(crate) fn batches() -> impl Strategy<Value = Batch> {
    let shapes = (prop::sample::select(&LENGTHS[..]), prop::sample::select(&CHANNELS[..]), formats());
    shapes
        .prop_flat_map(|(length, channels, format)| {
            let most = (ELEMENTS / (length * channels)).clamp(2, SAMPLES);
            (0..=most, Just(channels), Just(length), Just(format), any::<u64>())
        })
        .prop_map(|(samples, channels, length, format, seed)| {
            Batch::new(layout(samples, channels, length, format), seed)
        })
}

/// The bits, since 0 and −0 differ, and NaN equals itself.
pub(crate) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// splitmix64: enough to tell values apart.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// Between −1 and 1.
    pub(crate) fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        #[allow(clippy::cast_precision_loss, reason = "24 bits fit in a f32")]
        let fraction = ((z ^ (z >> 31)) >> 40) as f32 / (1_u32 << 23) as f32;
        fraction - 1.0
    }

    pub(crate) fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next()).collect()
    }
}
