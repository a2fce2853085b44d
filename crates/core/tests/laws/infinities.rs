//! Infinities in a batch: the mean is what exact arithmetic gives, wherever they stand and however the batch is cut.

use syncbn_core::{Format, Kind, Partial, moments, total};

use crate::batch::{Random, channel_of, layout};

const SHAPES: [[usize; 3]; 9] =
    [[5, 2, 33], [2, 3, 1100], [70, 2, 1], [140, 68, 1], [9, 3, 7], [6, 66, 5], [1, 65, 40], [40, 4, 9], [2, 513, 1]];

/// Values at places of channel 1 and the mean that they give.
const CASES: [(&[f32], f64); 5] = [
    (&[f32::INFINITY], f64::INFINITY),
    (&[f32::NEG_INFINITY], f64::NEG_INFINITY),
    (&[f32::INFINITY, f32::INFINITY], f64::INFINITY),
    (&[f32::INFINITY, f32::NEG_INFINITY], f64::NAN),
    (&[f32::INFINITY, f32::NAN], f64::NAN),
];

fn same(actual: f64, expected: f64) -> bool {
    actual.to_bits() == expected.to_bits() || (actual.is_nan() && expected.is_nan())
}

#[test]
fn the_mean_of_a_channel_with_infinities_is_that_of_exact_arithmetic() {
    for shape in SHAPES {
        for format in [Format::Contiguous, Format::ChannelsLast] {
            let layout = layout(shape[0], shape[1], shape[2], format);
            let places: Vec<usize> = (0..layout.elements()).filter(|i| channel_of(&layout, *i) == 1).collect();
            for step in 0..24 {
                for (values, expected) in CASES {
                    let mut x = Random(7).values(layout.elements());
                    let first = step * (places.len() - 1) / 23;
                    for (i, value) in values.iter().enumerate() {
                        x[places[(first + i * places.len() / 2) % places.len()]] = *value;
                    }
                    check(&x, shape, format, step, expected);
                }
            }
        }
    }
}

fn check(x: &[f32], shape: [usize; 3], format: Format, step: usize, expected: f64) {
    let [samples, channels, length] = shape;
    for kind in [Kind::Moments, Kind::Total] {
        let cut = (samples + 1) * step / 24;
        let partial = |begin: usize, end: usize| -> Partial {
            let layout = layout(end - begin, channels, length, format);
            let values = &x[begin * channels * length..end * channels * length];
            let reduce = if kind == Kind::Moments { moments } else { total };
            reduce(values, &layout, begin as u64).expect("lengths fit")
        };
        let mut merged = partial(0, cut);
        merged.merge(partial(cut, samples)).expect("adjacent");
        let merged = merged.finish().expect("a whole batch");
        let (values, what) = (&merged.values, format!("{kind:?} of {shape:?}, {format:?}, cut after {cut}"));
        assert!(same(values[1], expected), "{what}: {} instead of {expected}", values[1]);
        assert!(
            kind == Kind::Total || values[channels + 1].is_nan(),
            "{what}: the deviation is {}",
            values[channels + 1]
        );
        assert!(values[0].is_finite(), "{what}: the other channels stay finite");
    }
}
