//! Every shader against its twin in core, on the machine's adapter: a software one will do. No adapter, no pass.

mod costs;
mod device;
mod exact;
mod extremes;
mod failures;
mod kernels;
mod search;
mod step;
mod tolerances;

use syncbn_gpu::Family;

use crate::device::{cases, cases_to_split, device};
use crate::step::{Outcome, Step};
use crate::tolerances::{GRADIENT, RUNNING, expect_near, expect_same, output};

const FAMILIES: [Family; 2] = [Family::Coalesced, Family::Chunked];

#[test]
fn a_step_is_as_near_to_the_exact_one_as_the_table_says() {
    for family in FAMILIES {
        let mut gpu = device(family);
        for case in cases() {
            let step = Step::of(case);
            let (actual, expected) = (step.on_one_device(&mut gpu, false), exact::step(&step));
            let name = |what: &str| format!("{family:?} {case:?} {what}");
            expect_near(&name("y"), &actual.y, &expected.y, output(case.mean, case.std));
            expect_near(&name("running_mean"), &actual.running_mean, &expected.running_mean, RUNNING);
            expect_near(&name("running_var"), &actual.running_var, &expected.running_var, RUNNING);
            expect_near(&name("dx"), &actual.dx, &expected.dx, GRADIENT);
            expect_near(&name("dweight"), &actual.dweight, &expected.dweight, GRADIENT);
            expect_near(&name("dbias"), &actual.dbias, &expected.dbias, GRADIENT);
        }
    }
}

#[test]
fn any_split_is_the_whole_to_the_bit() {
    for family in FAMILIES {
        let mut gpu = device(family);
        for case in cases_to_split() {
            let step = Step::of(case);
            let whole = step.on_one_device(&mut gpu, false);
            let n = case.samples;
            let cuts = [vec![], vec![n / 2], vec![0, n / 3, n / 3, n / 2 + n / 5], vec![1.min(n), n]];
            // One sample cannot be cut, but has empty shards around it.
            for cuts in cuts.iter().skip(if n > 1 { 0 } else { 2 }) {
                let name = format!("{family:?} {case:?} cut at {cuts:?}");
                expect_same_outcome(&name, &step.in_shards(&mut gpu, cuts), &whole);
            }
        }
    }
}

#[test]
fn results_written_over_the_inputs_are_the_same() {
    for family in FAMILIES {
        let mut gpu = device(family);
        for case in cases() {
            let step = Step::of(case);
            let whole = step.on_one_device(&mut gpu, false);
            expect_same_outcome(&format!("{family:?} {case:?}"), &step.on_one_device(&mut gpu, true), &whole);
        }
    }
}

fn expect_same_outcome(name: &str, actual: &Outcome, expected: &Outcome) {
    for (what, actual, expected) in pairs(actual, expected) {
        expect_same(&format!("{name} {what}"), actual, expected);
    }
}

/// The first result whose bits differ.
fn different(actual: &Outcome, expected: &Outcome) -> Option<&'static str> {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    pairs(actual, expected)
        .into_iter()
        .find(|(_, actual, expected)| bits(actual) != bits(expected))
        .map(|(what, ..)| what)
}

fn pairs<'a>(actual: &'a Outcome, expected: &'a Outcome) -> [(&'static str, &'a [f32], &'a [f32]); 7] {
    [
        ("statistics", &actual.statistics, &expected.statistics),
        ("y", &actual.y, &expected.y),
        ("running_mean", &actual.running_mean, &expected.running_mean),
        ("running_var", &actual.running_var, &expected.running_var),
        ("dx", &actual.dx, &expected.dx),
        ("dweight", &actual.dweight, &expected.dweight),
        ("dbias", &actual.dbias, &expected.dbias),
    ]
}
