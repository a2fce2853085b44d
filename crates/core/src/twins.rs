//! Tests that vectors give the bits of scalars, and parts of the channels the bits of all.

use alloc::vec::Vec;
use core::fmt::{Debug, Formatter};
use core::ops::Range;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::boundaries::BOUNDARIES;
use crate::kind::Kind;
use crate::layout::{Format, Layout};
use crate::normalize::{Affine, normalize_channels};
use crate::normalize::{Sums, input_of_channels};
use crate::reduce::{Inputs, Reduction};
use crate::simd::{Lanes, Native, Scalar};
use crate::statistics::{Numerics, STATISTICS_ROWS};

const KINDS: [Kind; 4] = [Kind::Moments, Kind::Total, Kind::Deviations, Kind::Sums];
const LENGTHS: [usize; 9] = [1, 2, 5, 31, 32, 33, 49, 1025, 1500];
const CHANNELS: [usize; 8] = [1, 3, 4, 6, 17, 64, 70, 132];

/// As many cases as a law is worth, the same ones in every run.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(0x5B9), failure_persistence: None, ..ProptestConfig::default() }
}

#[derive(Clone)]
struct Case {
    layout: Layout,
    x: Vec<f32>,
    dy: Vec<f32>,
    /// `mean_hi`, `mean_lo`, `invstd_hi`, `invstd_lo`.
    statistics: Vec<f32>,
}

impl Debug for Case {
    /// The shape says enough: values follow from the seed.
    fn fmt(&self, formatter: &mut Formatter<'_>) -> core::fmt::Result {
        self.layout.fmt(formatter)
    }
}

/// Between −2 and 2; one value in eight has few digits, one is large.
fn values(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        // splitmix64
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        #[allow(clippy::cast_precision_loss, reason = "24 bits fit in a f32")]
        let fraction = ((z ^ (z >> 31)) >> 40) as f32 / (1_u32 << 22) as f32;
        let value = fraction - 2.0;
        match z % 8 {
            0 => (value * 16.0).round() / 16.0,
            1 => value * 1e5,
            _ => value,
        }
    };
    (0..count).map(|_| next()).collect()
}

fn cases() -> impl Strategy<Value = Case> {
    let formats = prop::sample::select(&[Format::Contiguous, Format::ChannelsLast][..]);
    let shapes = (0_usize..300, prop::sample::select(&CHANNELS[..]), prop::sample::select(&LENGTHS[..]), formats);
    (shapes, any::<u64>()).prop_map(|((samples, channels, length, format), seed)| {
        let samples = samples.min(8000 / (length * channels) + 1);
        let layout = Layout::new(samples, channels, length, format).expect("a moderate shape");
        let [x, dy] = [seed, !seed].map(|seed| values(layout.elements(), seed));
        let statistics = values(STATISTICS_ROWS * channels, seed / 2).iter().map(|value| value.abs()).collect();
        Case { layout, x, dy, statistics }
    })
}

fn reduce<V: Lanes>(case: &Case, kind: Kind, channels: Range<usize>) -> Vec<u64> {
    let has_centre = matches!(kind, Kind::Deviations | Kind::Sums);
    let centre = if has_centre { &case.statistics[..case.layout.channels()] } else { &[] };
    let inputs = Inputs { dy: (kind == Kind::Sums).then_some(&case.dy[..]), x: &case.x[..] };
    let values = Reduction::<V>::new(kind, centre).whole(&case.layout, inputs, channels);
    values.into_iter().map(f64::to_bits).collect()
}

fn normalize<V: Lanes>(case: &Case, numerics: Numerics, channels: Range<usize>) -> Vec<u32> {
    let mut y = case.dy.clone();
    let (layout, statistics) = (&case.layout, &case.statistics);
    normalize_channels::<V>(Some(&case.x), &mut y, layout, channels, numerics, statistics, &Affine::default());
    y.into_iter().map(f32::to_bits).collect()
}

fn input<V: Lanes>(case: &Case, is_training: bool) -> Vec<u32> {
    let mut dx = case.dy.clone();
    let channels = case.layout.channels();
    let values = vec![0.25; 2 * channels];
    let sums = is_training.then(|| Sums::of(case.layout.values_per_channel(), &values));
    let (layout, statistics) = (&case.layout, &case.statistics);
    input_of_channels::<V>(None, &case.x, &mut dx, layout, 0..channels, statistics, None, sums.as_ref());
    dx.into_iter().map(f32::to_bits).collect()
}

proptest! {
    #![proptest_config(config(96))]

    #[test]
    fn vectors_reduce_as_scalars_do(case in cases()) {
        for kind in KINDS {
            let all = 0..case.layout.channels();
            prop_assert_eq!(reduce::<Native>(&case, kind, all.clone()), reduce::<Scalar>(&case, kind, all));
        }
    }

    #[test]
    fn vectors_map_as_scalars_do(case in cases()) {
        for numerics in [Numerics::Stable, Numerics::Torch] {
            let all = 0..case.layout.channels();
            prop_assert_eq!(normalize::<Native>(&case, numerics, all.clone()), normalize::<Scalar>(&case, numerics, all));
        }
        prop_assert_eq!(input::<Native>(&case, true), input::<Scalar>(&case, true));
        prop_assert_eq!(input::<Native>(&case, false), input::<Scalar>(&case, false));
    }

    #[test]
    fn some_channels_are_reduced_as_all_are(case in cases(), part in 0.0..1.0) {
        let channels = case.layout.channels();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of the number of channels")]
        let cut = (part * channels as f64) as usize;
        // Rows are cut as `channel_groups` cuts them.
        let is_rows = case.layout.format() == Format::ChannelsLast || case.layout.length() < 32;
        let cut = match is_rows {
            true if channels >= 64 && channels.is_multiple_of(4) => cut / 4 * 4,
            true => 0,
            false => cut,
        };
        prop_assume!(cut > 0 && cut < channels);
        for kind in KINDS {
            let [left, right] = [0..cut, cut..channels].map(|channels| reduce::<Native>(&case, kind, channels));
            let values = reduce::<Native>(&case, kind, 0..channels);
            for (row, all) in values.chunks_exact(channels).enumerate() {
                prop_assert_eq!(&left[row * cut..][..cut], &all[..cut]);
                prop_assert_eq!(&right[row * (channels - cut)..][..channels - cut], &all[cut..]);
            }
        }
    }
}

/// `tests/shapes` searches the shapes with the vectors of this machine; that scalars give their bits is told here.
#[test]
fn vectors_do_what_scalars_do_around_every_boundary() {
    for size in BOUNDARIES.iter().flat_map(|boundary| boundary.size.saturating_sub(2).max(1)..=boundary.size + 2) {
        for (samples, channels, length) in [(3, size, 1), (2, size, 3), (2, 3, size), (1, 8, size), (size, 3, 1)] {
            for format in [Format::Contiguous, Format::ChannelsLast] {
                let layout = Layout::new(samples, channels, length, format).expect("a moderate shape");
                if layout.elements() > 10_000 {
                    continue;
                }
                let [x, dy] = [1, 2].map(|seed| values(layout.elements(), seed));
                let statistics = values(STATISTICS_ROWS * channels, 3).iter().map(|value| value.abs()).collect();
                let case = Case { layout, x, dy, statistics };
                for kind in KINDS {
                    let all = 0..channels;
                    assert_eq!(
                        reduce::<Native>(&case, kind, all.clone()),
                        reduce::<Scalar>(&case, kind, all),
                        "{case:?}"
                    );
                }
                for numerics in [Numerics::Stable, Numerics::Torch] {
                    let all = 0..channels;
                    let scalars = normalize::<Scalar>(&case, numerics, all.clone());
                    assert_eq!(normalize::<Native>(&case, numerics, all), scalars, "{case:?}");
                }
                assert_eq!(input::<Native>(&case, true), input::<Scalar>(&case, true), "{case:?}");
            }
        }
    }
}
