//! What can be wrong with the arguments of a kernel.

use core::ops::Range;

use crate::kind::Kind;

/// A kernel was given what it cannot work on. Nothing has been written when one is returned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// A slice is not as long as the layout says.
    #[error("expected {name} to have {expected} values, got {actual}")]
    Length {
        /// Which argument.
        name: &'static str,
        /// Values that the layout asks for.
        expected: usize,
        /// Values that were given.
        actual: usize,
    },
    /// The layout has no channel, or more elements than memory can hold.
    #[error("expected at least one channel and at most {} elements, got {samples} × {channels} × {length}", usize::MAX / 8)]
    Shape {
        /// N.
        samples: usize,
        /// C.
        channels: usize,
        /// L.
        length: usize,
    },
    /// Bytes that are not a partial.
    #[error("damaged partial: {reason}")]
    Damaged {
        /// What is wrong with them.
        reason: &'static str,
    },
    /// A partial of one kind where another is needed.
    #[error("expected a partial of kind {expected:?}, got {actual:?}")]
    Kind {
        /// The kind needed.
        expected: Kind,
        /// The kind given.
        actual: Kind,
    },
    /// Partials that do not belong to one batch.
    #[error("expected partials of one batch, but they differ in {what}")]
    Mismatch {
        /// The property in which they differ.
        what: &'static str,
    },
    /// Partials that do not cover adjacent samples, or do not begin with sample 0 where the whole batch is needed.
    #[error("expected a partial that begins with sample {expected}, got one that begins with sample {actual}")]
    Gap {
        /// First sample needed.
        expected: u64,
        /// First sample given.
        actual: u64,
    },
}

/// Checks the length of one argument.
pub(crate) fn expect_length(name: &'static str, actual: usize, expected: usize) -> Result<(), KernelError> {
    if actual == expected { Ok(()) } else { Err(KernelError::Length { name, expected, actual }) }
}

/// Checks that these are channels of a batch with so many.
pub(crate) fn expect_channels(range: &Range<usize>, channels: usize) -> Result<(), KernelError> {
    let is_within = range.start <= range.end && range.end <= channels;
    if is_within {
        Ok(())
    } else {
        Err(KernelError::Length { name: "channels", expected: channels, actual: range.end })
    }
}
