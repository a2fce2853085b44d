//! Sums of tensors, for gradients that meet.

use crate::error::{KernelError, expect_length};

/// target = a + b.
///
/// # Errors
/// If the lengths differ.
pub fn add(a: &[f32], b: &[f32], target: &mut [f32]) -> Result<(), KernelError> {
    expect_length("a", a.len(), target.len())?;
    expect_length("b", b.len(), target.len())?;
    for ((target, a), b) in target.iter_mut().zip(a).zip(b) {
        *target = a + b;
    }
    Ok(())
}

/// target = target + b.
///
/// # Errors
/// If the lengths differ.
pub fn add_in_place(target: &mut [f32], b: &[f32]) -> Result<(), KernelError> {
    expect_length("b", b.len(), target.len())?;
    for (target, b) in target.iter_mut().zip(b) {
        *target += b;
    }
    Ok(())
}

/// target = 2·target: what is left of `add` when all three are one buffer.
pub fn double(target: &mut [f32]) {
    for target in target {
        *target += *target;
    }
}
