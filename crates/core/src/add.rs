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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_may_be_one_of_the_operands_or_both() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0], [0.5, -2.0, 1e9, 0.0, f32::INFINITY]);
        let expected = [1.5, 0.0, 1e9, 4.0, f32::INFINITY];
        let (mut sum, mut in_place, mut doubled) = ([0.0; 5], a, a);
        add(&a, &b, &mut sum).expect("lengths fit");
        add_in_place(&mut in_place, &b).expect("lengths fit");
        double(&mut doubled);
        assert_eq!((sum, in_place, doubled), (expected, expected, [2.0, 4.0, 6.0, 8.0, 10.0]));
    }
}
