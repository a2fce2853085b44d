//! The kernels against PyTorch's results, case by case. The data and its generator are in `golden/`.

mod data;
mod formula;
mod layer;
mod reference;
mod tolerances;

use syncbn_core::{Format, Numerics};

use data::{Case, Expected, Stored, Suite};
use layer::{Layer, Outcome, Variant};
use reference::{Backward, Forward, Shape};
use tolerances::{Known, STABLE_GRADIENT, STABLE_OUTPUT, STABLE_RUNNING, TORCH_GRADIENT, within};

/// One module per suite, so that a failing test names suite, numerics and format.
macro_rules! suites {
    ($($name:ident),*) => { $(
        mod $name {
            use super::*;

            #[test]
            fn torch_numerics_has_the_bits_of_pytorch() {
                run(stringify!($name), Numerics::Torch, Format::Contiguous);
            }

            #[test]
            fn torch_numerics_has_the_same_bits_channels_last() {
                run(stringify!($name), Numerics::Torch, Format::ChannelsLast);
            }

            #[test]
            fn stable_numerics_is_as_exact_as_pytorch() {
                run(stringify!($name), Numerics::Stable, Format::Contiguous);
            }

            #[test]
            fn stable_numerics_is_as_exact_channels_last() {
                run(stringify!($name), Numerics::Stable, Format::ChannelsLast);
            }
        }
    )* };
}

suites!(pytorch_nn, lengths, cancellation, synchronized);

/// What a step was given and gave.
struct Record<'a> {
    case: &'a Case,
    expected: &'a Expected,
    /// After the step.
    layer: &'a Layer,
    outcome: &'a Outcome,
    exact: &'a Forward,
    gradients: &'a Backward,
    /// Values per channel.
    values: usize,
    /// Largest term of an element of dx.
    dx_term: f64,
    /// Mean magnitudes of the terms of dweight and dbias; `tests/golden/agreement.ts` says what for.
    sum_terms: [f64; 2],
}

/// Runs every case of a suite and fails with the list of all that do not agree.
fn run(name: &str, numerics: Numerics, format: Format) {
    let suite = Suite::read(name);
    assert!(!suite.cases.is_empty(), "a suite without cases tests nothing");
    let variant = Variant { numerics, format };
    let failures: Vec<String> = suite.cases.iter().flat_map(|case| run_case(&suite, case, variant)).collect();
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

fn run_case(suite: &Suite, case: &Case, variant: Variant) -> Vec<String> {
    let mut layer = Layer::new(case);
    let eps = case.options.eps;
    let mut failures = Vec::new();
    for (number, step) in case.steps.iter().enumerate() {
        let shape: Shape = (step.shape[0], step.shape[1], step.shape[2..].iter().product());
        let count = shape.0 * shape.1 * shape.2;
        let (x, dy) = (step.x.array(count), step.dy.array(count));
        let mode = layer.begin(case, step);
        let exact = reference::forward(&x, shape, &layer, eps, mode);
        let gradients = reference::backward(&x, &dy, shape, &layer, mode, &exact.mean, &exact.invstd);
        let outcome = match layer.step(&x, &dy, shape, eps, mode, variant) {
            Ok(outcome) => outcome,
            Err(error) => return vec![format!("{}, step {number}: {error}", case.name)],
        };
        let Some(expected) = &step.expected else { continue };
        let record = Record {
            case,
            expected,
            layer: &layer,
            outcome: &outcome,
            exact: &exact,
            gradients: &gradients,
            values: shape.0 * shape.2,
            dx_term: dx_term(&dy, shape, &layer, &exact),
            sum_terms: sum_terms(&x, &dy, shape, &exact),
        };
        let results = match variant.numerics {
            Numerics::Torch => record.against_pytorch(suite),
            Numerics::Stable => record.against_f64(),
        };
        let failed = results.into_iter().filter_map(|(what, result)| Some((what, result.err()?)));
        failures.extend(failed.map(|(what, error)| format!("{}, step {number}, {what}: {error}", case.name)));
    }
    failures
}

type Results = Vec<(&'static str, Result<(), String>)>;

impl Record<'_> {
    /// `torch` numerics: forward and running statistics to the bit, gradients within the table.
    fn against_pytorch(&self, suite: &Suite) -> Results {
        let bits = |actual: &[f32], stored: &Option<Stored>| match stored {
            Some(stored) => suite.expect_bits(actual, stored),
            None => Ok(()),
        };
        let gradient = |actual: &[f32], stored: &Stored, scale: f64| {
            let (of_stored, wanted) = suite.stored_elements(actual, stored)?;
            let wanted: Vec<f64> = wanted.iter().copied().map(f64::from).collect();
            let non_finite = self.case.non_finite;
            within(TORCH_GRADIENT, &of_stored, &wanted, Known { scale, non_finite, ..Known::default() })
        };
        let optional = |actual: &[f32], stored: &Option<Stored>, term: f64| match stored {
            Some(stored) => gradient(actual, stored, term),
            None => Ok(()),
        };
        let [dweight_term, dbias_term] = self.sum_terms;
        let expected = self.expected;
        let mut results = vec![
            ("y", suite.expect_bits(&self.outcome.y, &expected.y)),
            ("dx", gradient(&self.outcome.dx, &expected.dx, self.scale_of_dx())),
            ("dweight", optional(&self.outcome.dweight, &expected.dweight, dweight_term)),
            ("dbias", optional(&self.outcome.dbias, &expected.dbias, dbias_term)),
        ];
        if let Some([mean, variance]) = &self.layer.running {
            results.push(("running_mean", bits(mean, &expected.running_mean)));
            results.push(("running_var", bits(variance, &expected.running_var)));
        }
        results
    }

    /// `stable` numerics: within the table of the f64 reference.
    fn against_f64(&self) -> Results {
        let known = |name: &str| Known {
            pytorch_error: self.expected.error.get(name).copied().unwrap_or(0.0),
            non_finite: self.case.non_finite,
            ..Known::default()
        };
        let dx_known = Known { scale: self.scale_of_dx(), ..known("dx") };
        let mut results = vec![
            ("y", within(STABLE_OUTPUT, &self.outcome.y, &self.exact.y, known("y"))),
            ("dx", within(STABLE_GRADIENT, &self.outcome.dx, &self.gradients.dx, dx_known)),
            ("dweight", within(STABLE_GRADIENT, &self.outcome.dweight, &self.gradients.dweight, known("dweight"))),
            ("dbias", within(STABLE_GRADIENT, &self.outcome.dbias, &self.gradients.dbias, known("dbias"))),
        ];
        if let (Some(actual), Some(exact)) = (&self.layer.running, &self.exact.running) {
            for (row, name) in ["running_mean", "running_var"].into_iter().enumerate() {
                let known = Known { terms: Some(&self.exact.terms[row]), ..known(name) };
                results.push((name, within(STABLE_RUNNING, &actual[row], &exact[row], known)));
            }
        }
        results
    }

    /// With two values per channel dx is what eps leaves of terms that cancel: their scale is that of the terms.
    fn scale_of_dx(&self) -> f64 {
        if self.values == 2 { self.dx_term } else { 0.0 }
    }
}

/// The mean magnitude of dy·(x − mean)·invstd, and of dy, over all elements where both are finite.
fn sum_terms(x: &[f32], dy: &[f32], (_, channels, length): Shape, exact: &Forward) -> [f64; 2] {
    let term = |(i, (x, dy)): (usize, (&f32, &f32))| {
        let c = i / length % channels;
        let dy = f64::from(*dy).abs();
        [dy * ((f64::from(*x) - exact.mean[c]) * exact.invstd[c]).abs(), dy]
    };
    let terms = x.iter().zip(dy).enumerate().map(term).filter(|[dweight, _]| dweight.is_finite());
    let (sums, count) =
        terms.fold(([0.0; 2], 0.0_f64), |(sums, count), term| ([sums[0] + term[0], sums[1] + term[1]], count + 1.0));
    sums.map(|sum| sum / count.max(1.0))
}

/// The largest of dy·invstd·w.
fn dx_term(dy: &[f32], (_, channels, length): Shape, layer: &Layer, exact: &Forward) -> f64 {
    let term = |(i, dy): (usize, &f32)| {
        let c = i / length % channels;
        (f64::from(*dy) * exact.invstd[c] * layer.weight(c)).abs()
    };
    dy.iter().enumerate().map(term).fold(0.0, f64::max)
}
