//! The bits of the kernels, written down, so that every build of them can be compared: this test does it for the machine it
//! runs on, `ts/device/cpu_bits.test.ts` for WebAssembly. They are no one's promise to the outside and may change with the
//! order of the arithmetic; `UPDATE_BITS=1 cargo test --test bits` writes them anew.

#[path = "../training_step/mod.rs"]
mod training_step;

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use syncbn_core::{Format, Layout, Numerics, Partial, backward_reduce, centre_of, deviations, moments, total};
use training_step::TrainingStep;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bits/bits.json");

/// A batch, and what FNV-1a makes of the bytes of each result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Case {
    samples: usize,
    channels: usize,
    length: usize,
    format: String,
    numerics: String,
    /// Added to x: with a mean larger than the deviation moments take another way.
    offset: f32,
    /// y, statistics, next running mean and variance, dx, dweight, dbias; then the partials that begin with sample 3:
    /// moments, total, deviations, sums.
    digests: Vec<u32>,
}

/// Between −2 and 2 and different for every place; the same in TypeScript.
fn value(place: u32, seed: u32) -> f32 {
    let mixed = place.wrapping_add(seed.wrapping_mul(0x9E37_79B9)).wrapping_mul(0x85EB_CA6B);
    let mixed = (mixed ^ (mixed >> 13)).wrapping_mul(0xC2B2_AE35);
    #[allow(clippy::cast_precision_loss, reason = "24 bits fit in a f32")]
    let fraction = ((mixed ^ (mixed >> 16)) >> 8) as f32 / (1_u32 << 22) as f32;
    fraction - 2.0
}

fn values(count: usize, seed: u32) -> Vec<f32> {
    (0..).take(count).map(|place| value(place, seed)).collect()
}

fn digest(bytes: impl IntoIterator<Item = u8>) -> u32 {
    bytes.into_iter().fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fn compute(case: &Case) -> Vec<u32> {
    let format = if case.format == "contiguous" { Format::Contiguous } else { Format::ChannelsLast };
    let numerics = if case.numerics == "stable" { Numerics::Stable } else { Numerics::Torch };
    let channels = case.channels;
    let layout = Layout::new(case.samples, channels, case.length, format).expect("a moderate shape");
    let [mut x, dy] = [1, 2].map(|seed| values(layout.elements(), seed));
    x.iter_mut().for_each(|x| *x += case.offset);
    let [weight, bias, mean] = [3, 4, 5].map(|seed| values(channels, seed));
    let variance: Vec<f32> = values(channels, 6).iter().map(|value| value * value).collect();
    let step = TrainingStep {
        layout,
        numerics,
        x: &x,
        dy: &dy,
        weight: &weight,
        bias: &bias,
        running_mean: &mean,
        running_var: &variance,
        in_place: false,
    };
    let trained = step.train();
    let of_totals = total(&x, &layout, 0).and_then(Partial::finish).expect("lengths fit");
    let centre = centre_of(&of_totals).expect("totals");
    let partials = [
        moments(&x, &layout, 3),
        total(&x, &layout, 3),
        deviations(&x, &centre, &layout, 3),
        backward_reduce(&dy, &x, &trained.statistics, &layout, 3),
    ];
    let floats = trained.results().map(|values| digest(values.iter().flat_map(|value| value.to_le_bytes())));
    let partials = partials.map(|partial| digest(partial.expect("lengths fit").to_bytes()));
    floats.into_iter().chain(partials).collect()
}

/// Narrow and wide rows, parts of vectors, one and several samples per leaf, one and several blocks.
fn cases() -> Vec<Case> {
    let shapes = [
        (70, 1, 1),
        (67, 3, 1),
        (40, 64, 1),
        (261, 64, 1),
        (130, 132, 1),
        (35, 70, 1),
        (2, 2052, 1),
        (21, 5, 3),
        (9, 4, 31),
        (5, 3, 32),
        (4, 17, 49),
        (3, 64, 49),
        (3, 2, 1025),
        (2, 65, 300),
        (1, 3, 5000),
        (2, 132, 257),
    ];
    let mut cases = Vec::new();
    for (samples, channels, length) in shapes {
        for format in ["contiguous", "channels_last"] {
            for numerics in ["stable", "torch"] {
                let offset = if cases.len() % 3 == 0 { 5.0 } else { 0.0 };
                let [format, numerics] = [format, numerics].map(str::to_owned);
                let mut case = Case { samples, channels, length, format, numerics, offset, digests: Vec::new() };
                case.digests = compute(&case);
                cases.push(case);
            }
        }
    }
    cases
}

#[test]
fn this_machine_computes_the_bits_that_are_written_down() {
    let cases = cases();
    if std::env::var_os("UPDATE_BITS").is_some() {
        let lines: Vec<_> = cases.iter().map(|case| serde_json::to_string(case).expect("plain data")).collect();
        fs::write(Path::new(FILE), format!("[\n  {}\n]\n", lines.join(",\n  "))).expect("a writable file");
    }
    let written: Vec<Case> =
        serde_json::from_str(&fs::read_to_string(FILE).expect("bits.json lies beside")).expect("cases");
    assert_eq!(written.len(), cases.len());
    for (case, written) in cases.iter().zip(&written) {
        assert_eq!(case, written);
    }
}
