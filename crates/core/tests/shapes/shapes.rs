//! Shapes around every boundary of the kernels, and random ones beyond.

use syncbn_core::boundaries::BOUNDARIES;
use syncbn_core::{Format, Layout};

/// Channels of the widest batch.
const MOST_CHANNELS: usize = 70_000;
/// What products of two dimensions are made of when they should come near a boundary.
const FACTORS: [usize; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 31, 33];
/// How far from a boundary is near.
const NEAR: usize = 2;

/// splitmix64.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Between −1 and 1.
    pub(crate) fn value(&mut self) -> f32 {
        #[allow(clippy::cast_precision_loss, reason = "24 bits fit in a f32")]
        let fraction = (self.bits() >> 40) as f32 / (1_u32 << 23) as f32;
        fraction - 1.0
    }

    /// Less than `end`; 0 where that is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.bits() % end.max(1) as u64).unwrap_or(0)
    }

    /// From 1 to `most`, every order of magnitude alike.
    fn magnitude(&mut self, most: usize) -> usize {
        let most = most.max(1);
        let bits = usize::try_from(most.ilog2()).unwrap_or(0) + 1;
        let end = 1 << (self.below(bits) + 1);
        (1 + self.below(end)).min(most)
    }

    fn one_of<'a, T>(&mut self, values: &'a [T]) -> Option<&'a T> {
        values.get(self.below(values.len()))
    }
}

/// N, C, L and the format.
pub(crate) fn layout([samples, channels, length]: [usize; 3], format: Format) -> Layout {
    Layout::new(samples, channels, length, format).expect("a moderate shape")
}

/// Every size within two of a boundary, of its halves, its quarters and its double.
pub(crate) fn sizes() -> Vec<usize> {
    let centres =
        BOUNDARIES.iter().flat_map(|boundary| [boundary.size / 4, boundary.size / 2, boundary.size, 2 * boundary.size]);
    distinct(centres.flat_map(near).filter(|size| *size <= MOST_CHANNELS))
}

/// Pairs of sizes whose product is within two of the smaller factor of a boundary.
fn straddling() -> Vec<[usize; 2]> {
    let pairs = BOUNDARIES.iter().flat_map(|boundary| {
        FACTORS.iter().flat_map(move |factor| near(boundary.size / factor).map(move |size| [size, *factor]))
    });
    distinct(pairs)
}

fn near(centre: usize) -> impl Iterator<Item = usize> {
    (centre.saturating_sub(NEAR)..=centre + NEAR).filter(|size| *size > 0)
}

fn distinct<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values.dedup();
    values
}

/// All small shapes: every (N, C, L) up to these sizes, and more samples where few values make a leaf.
pub(crate) fn small() -> Vec<[usize; 3]> {
    let cube = (0..7).flat_map(|n| (1..9).flat_map(move |c| (0..9).map(move |l| [n, c, l])));
    let leaves = (7..70).flat_map(|n| (1..8).flat_map(move |c| (1..4).map(move |l| [n, c, l])));
    cube.chain(leaves).collect()
}

/// Pairs of sizes near boundaries in each two of the dimensions, the third drawn; shapes that straddle two boundaries; and
/// `beyond` random ones. `part` of `parts` of them; none has more than `elements` elements.
pub(crate) fn around_boundaries(
    elements: usize,
    beyond: usize,
    [part, parts]: [usize; 2],
    random: &mut Random,
) -> Vec<[usize; 3]> {
    let sizes = sizes();
    let pairs = sizes.iter().flat_map(|a| sizes.iter().map(|b| [*a, *b])).chain(straddling());
    let fitting = pairs.filter(|[a, b]| a * b <= elements).skip(part).step_by(parts);
    let mut shapes = Vec::new();
    for [a, b] in fitting.collect::<Vec<_>>() {
        let small: Vec<usize> = sizes.iter().copied().filter(|size| size * a * b <= elements).collect();
        let mut third = || random.one_of(&small).copied().unwrap_or(1);
        shapes.extend([[a, b, third()], [a, third(), b], [third(), a, b]]);
    }
    shapes.extend((0..beyond).map(|_| {
        let channels = random.magnitude(MOST_CHANNELS.min(elements));
        let length = random.magnitude(elements / channels);
        [random.magnitude(elements / (channels * length)), channels, length]
    }));
    shapes
}
