//! The row of the tolerance table for WebGPU, compared with f64: nothing looser anywhere.

/// Bounds on |actual − expected|.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tolerance {
    pub(crate) relative: f64,
    pub(crate) absolute: f64,
}

/// y, relative to the ratio of mean and deviation.
pub(crate) fn output(mean: f32, std: f32) -> Tolerance {
    Tolerance { relative: 1e-5, absolute: 1e-5 * (1.0 + f64::from((mean / std).abs())) }
}

/// Running statistics.
pub(crate) const RUNNING: Tolerance = Tolerance { relative: 1e-5, absolute: 0.0 };

/// dx, dweight, dbias.
pub(crate) const GRADIENT: Tolerance = Tolerance { relative: 1e-4, absolute: 1e-5 };

/// dweight and dbias of so many values, which may cancel: the error grows with the root of their number.
#[allow(clippy::cast_precision_loss, reason = "batches of tests are small")]
pub(crate) fn sum_of(values: usize) -> Tolerance {
    Tolerance { absolute: GRADIENT.absolute.max(1e-6 * (values as f64).sqrt()), ..GRADIENT }
}

/// Fails unless all values are as near as they must be. What is not a number is near to nothing.
pub(crate) fn expect_near(what: &str, actual: &[f32], expected: &[f32], tolerance: Tolerance) {
    if let Some(problem) = problem(actual, expected, tolerance) {
        panic!("{what}{problem}");
    }
}

/// The first value that is not as near as it must be.
pub(crate) fn problem(actual: &[f32], expected: &[f32], tolerance: Tolerance) -> Option<String> {
    assert_eq!(actual.len(), expected.len());
    actual.iter().zip(expected).enumerate().find_map(|(i, (actual, expected))| {
        let bound = tolerance.absolute + tolerance.relative * f64::from(expected.abs());
        let distance = (f64::from(*actual) - f64::from(*expected)).abs();
        let is_near = distance <= bound;
        (!is_near).then(|| format!("[{i}]: expected {expected}, got {actual}, {distance:e} > {bound:e}"))
    })
}

/// Fails unless all bits are the same.
pub(crate) fn expect_same(what: &str, actual: &[f32], expected: &[f32]) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (i, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        assert!(actual.to_bits() == expected.to_bits(), "{what}[{i}]: expected {expected:e}, got {actual:e}");
    }
}
