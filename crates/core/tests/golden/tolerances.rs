//! How far a result may be from what it is compared with: the twin of `tests/support/tolerances.ts`, entry by entry.
//!
//! The distance allowed at an element is the largest of what the entry grants. A NaN on either side fails, unless the case
//! has non-finite values.

/// What a comparison grants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tolerance {
    /// Times the distance between neighbouring f32 numbers at the expected value.
    ulps: f64,
    /// Times the distance between neighbouring f32 numbers at the largest expected value.
    ulps_of_largest: f64,
    /// Times the expected value.
    relative: f64,
    /// Times the largest expected value; added to `relative`.
    of_largest: f64,
    /// Times the largest term of the sum that the expected value is.
    of_largest_term: f64,
    /// PyTorch's own largest error in the case.
    as_pytorch: bool,
}

const NOTHING: Tolerance = Tolerance {
    ulps: 0.0,
    ulps_of_largest: 0.0,
    relative: 0.0,
    of_largest: 0.0,
    of_largest_term: 0.0,
    as_pytorch: false,
};

/// `torch` numerics against PyTorch. Outputs and running statistics have the same bits: see [`same_bits`].
pub(crate) const TORCH_GRADIENT: Tolerance = Tolerance { relative: 1e-5, of_largest: 1e-6, ..NOTHING };

/// `stable` numerics against f64.
pub(crate) const STABLE_OUTPUT: Tolerance = Tolerance { ulps_of_largest: 2.0, as_pytorch: true, ..NOTHING };

/// `stable` numerics against f64.
pub(crate) const STABLE_RUNNING: Tolerance = Tolerance { ulps: 2.0, of_largest_term: 4e-7, ..NOTHING };

/// `stable` numerics against f64.
pub(crate) const STABLE_GRADIENT: Tolerance = Tolerance { of_largest: 1e-5, as_pytorch: true, ..NOTHING };

/// What a test knows of a case beyond the expected values.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Known<'a> {
    /// Per element the largest term of its sum.
    pub(crate) terms: Option<&'a [f64]>,
    /// PyTorch's largest distance from f64 in this case.
    pub(crate) pytorch_error: f64,
    /// The scale of a gradient whose terms cancel; counts as the largest expected value if it is larger.
    pub(crate) scale: f64,
    /// The case has non-finite values. An element that should be one must be one, NaN or infinity: moments in blocks turn
    /// infinities into NaN earlier than a sum does. They do not count as the largest value.
    pub(crate) non_finite: bool,
}

/// Says where `actual` is farther from `expected` than `tolerance` grants.
pub(crate) fn within(tolerance: Tolerance, actual: &[f32], expected: &[f64], known: Known<'_>) -> Result<(), String> {
    if actual.len() != expected.len() {
        return Err(format!("{} elements, expected {}", actual.len(), expected.len()));
    }
    let finite = expected.iter().filter(|value| !known.non_finite || value.is_finite());
    let largest = finite.fold(known.scale, |largest, value| if value.abs() <= largest { largest } else { value.abs() });
    for (i, (got, wanted)) in actual.iter().zip(expected).enumerate() {
        let got = f64::from(*got);
        if known.non_finite && !wanted.is_finite() && !got.is_finite() {
            continue;
        }
        let granted = [
            tolerance.relative * wanted.abs() + tolerance.of_largest * largest,
            tolerance.ulps * ulp(*wanted),
            tolerance.ulps_of_largest * ulp(largest),
            tolerance.of_largest_term * known.terms.map_or(0.0, |terms| terms[i]),
            if tolerance.as_pytorch { known.pytorch_error } else { 0.0 },
        ]
        .into_iter()
        .fold(0.0, f64::max);
        let distance = (got - wanted).abs();
        // A distance that is NaN is not near.
        let is_near = distance <= granted;
        if !is_near {
            return Err(format!("[{i}] got {got:e}, expected {wanted:e} ± {granted:e}, off by {distance:e}"));
        }
    }
    Ok(())
}

/// Says where the bits differ; 0 is not −0, and NaN equals NaN.
pub(crate) fn same_bits(actual: &[f32], expected: &[f32]) -> Result<(), String> {
    let differs = |(got, wanted): (&f32, &f32)| got.to_bits() != wanted.to_bits() && !(got.is_nan() && wanted.is_nan());
    match actual.iter().zip(expected).position(differs) {
        _ if actual.len() != expected.len() => Err(format!("{} elements, expected {}", actual.len(), expected.len())),
        None => Ok(()),
        Some(i) => Err(format!("[{i}] got {:e}, expected the bits of {:e}", actual[i], expected[i])),
    }
}

/// Distance from `|value|`, rounded to f32, to the next larger f32.
#[allow(clippy::cast_possible_truncation, reason = "the distance is between f32 numbers")]
fn ulp(value: f64) -> f64 {
    let single = (value as f32).abs();
    f64::from(f32::from_bits(single.to_bits() + 1)) - f64::from(single)
}

#[test]
fn what_lies_on_the_limit_is_accepted_and_what_lies_beyond_refused() {
    let two_ulps = 2.0 * f64::from(f32::EPSILON);
    assert_eq!(within(STABLE_OUTPUT, &[1.0], &[1.0 - two_ulps / 2.0], Known::default()), Ok(()));
    assert!(within(STABLE_OUTPUT, &[1.0], &[1.0 - two_ulps * 1.01], Known::default()).is_err());
}

#[test]
fn a_nan_on_either_side_is_refused_unless_the_case_has_it() {
    let non_finite = Known { non_finite: true, ..Known::default() };
    for (got, wanted) in [(f32::NAN, 1.0), (1.0, f64::NAN), (f32::NAN, f64::NAN)] {
        assert!(within(STABLE_OUTPUT, &[got], &[wanted], Known::default()).is_err());
    }
    assert_eq!(within(STABLE_OUTPUT, &[f32::NAN; 2], &[f64::NAN, f64::INFINITY], non_finite), Ok(()));
    assert!(within(STABLE_OUTPUT, &[f32::NAN], &[1.0], non_finite).is_err());
    assert!(within(STABLE_OUTPUT, &[1.0], &[f64::NAN], non_finite).is_err());
}

#[test]
fn bits_tell_zeros_apart_and_take_every_nan_as_equal() {
    assert_eq!(same_bits(&[f32::NAN, 0.0], &[-f32::NAN, 0.0]), Ok(()));
    assert!(same_bits(&[-0.0], &[0.0]).is_err());
    assert!(same_bits(&[0.0], &[]).is_err());
}
