//! Reads the golden files; `golden/README.md` describes them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::Deserialize;

use crate::formula::Spec;
use crate::tolerances::same_bits;

/// The cases of a suite and the values they refer to.
pub(crate) struct Suite {
    pub(crate) cases: Vec<Case>,
    values: Vec<f32>,
}

#[derive(Deserialize)]
struct SuiteFile {
    cases: Vec<Case>,
}

/// A layer, the state it begins with, and the batches it sees.
#[derive(Debug, Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) num_features: usize,
    pub(crate) options: Options,
    pub(crate) initial: BTreeMap<String, Spec>,
    pub(crate) steps: Vec<Step>,
    pub(crate) untracked_afterwards: bool,
    pub(crate) non_finite: bool,
}

/// Arguments of the layer's constructor.
#[derive(Debug, Deserialize)]
pub(crate) struct Options {
    pub(crate) eps: f64,
    /// Absent: the cumulative average.
    pub(crate) momentum: Option<f64>,
    pub(crate) affine: bool,
    pub(crate) bias: bool,
    pub(crate) track_running_stats: bool,
}

/// One call, forward and backward.
#[derive(Debug, Deserialize)]
pub(crate) struct Step {
    pub(crate) shape: Vec<usize>,
    pub(crate) training: bool,
    pub(crate) x: Spec,
    pub(crate) dy: Spec,
    pub(crate) expected: Option<Expected>,
}

/// What PyTorch gave.
#[derive(Debug, Deserialize)]
pub(crate) struct Expected {
    pub(crate) y: Stored,
    pub(crate) running_mean: Option<Stored>,
    pub(crate) running_var: Option<Stored>,
    pub(crate) dx: Stored,
    pub(crate) dweight: Option<Stored>,
    pub(crate) dbias: Option<Stored>,
    /// PyTorch's largest distance from f64, by name.
    pub(crate) error: BTreeMap<String, f64>,
}

/// `count` elements, of which every `stride`-th is stored from `offset` on; `hash` is that of all.
#[derive(Debug, Deserialize)]
pub(crate) struct Stored {
    count: usize,
    stride: usize,
    offset: usize,
    hash: u32,
}

impl Suite {
    /// Reads `golden/data/<name>.json` and `.bin`.
    pub(crate) fn read(name: &str) -> Self {
        let file = |extension: &str| {
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../../golden/data/{name}.{extension}"))
        };
        let text = fs::read_to_string(file("json")).expect("the golden data is committed");
        let bytes = fs::read(file("bin")).expect("the golden data is committed");
        let words = bytes.as_chunks().0.iter().copied();
        let SuiteFile { cases } = serde_json::from_str(&text).expect("the format of golden/README.md");
        Self { cases, values: words.map(f32::from_le_bytes).collect() }
    }

    /// Says where `actual` has other bits than PyTorch.
    pub(crate) fn expect_bits(&self, actual: &[f32], stored: &Stored) -> Result<(), String> {
        let (of_stored, expected) = self.stored_elements(actual, stored)?;
        same_bits(&of_stored, expected)?;
        if hash_bits(actual) == stored.hash {
            return Ok(());
        }
        Err("an element that is not stored differs: the hash is another".into())
    }

    /// Those elements of `actual` whose counterpart is stored, and their counterparts.
    pub(crate) fn stored_elements(&self, actual: &[f32], stored: &Stored) -> Result<(Vec<f32>, &[f32]), String> {
        if actual.len() != stored.count {
            return Err(format!("{} elements, expected {}", actual.len(), stored.count));
        }
        let elements: Vec<f32> = actual.iter().step_by(stored.stride).copied().collect();
        let end = stored.offset + elements.len();
        Ok((elements, &self.values[stored.offset..end]))
    }
}

/// FNV-1a of the little-endian bytes, every NaN taken as 7fc00000.
fn hash_bits(values: &[f32]) -> u32 {
    let bytes = values.iter().flat_map(|value| {
        let bits = if value.is_nan() { 0x7fc0_0000 } else { value.to_bits() };
        bits.to_le_bytes()
    });
    bytes.fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
