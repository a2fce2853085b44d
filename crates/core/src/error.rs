//! What can be wrong with the arguments of a kernel.
//!
//! Errors tell their text without `core::fmt`, which is a kilobyte more for every page to load, compressed.

use core::fmt::{Display, Formatter};
use core::ops::Range;

use crate::kind::Kind;

/// A kernel was given what it cannot work on. Nothing has been written when one is returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelError {
    /// A slice is not as long as the layout says.
    Length {
        /// Which argument.
        name: &'static str,
        /// Values that the layout asks for.
        expected: usize,
        /// Values that were given.
        actual: usize,
    },
    /// The layout has no channel, or more elements than memory can hold.
    Shape {
        /// N.
        samples: usize,
        /// C.
        channels: usize,
        /// L.
        length: usize,
    },
    /// Samples that no batch has: they end beyond 2^32 − 1, or their values cannot be counted exactly.
    Samples {
        /// Global number of the first.
        first: u64,
        /// How many there are.
        samples: u64,
        /// L.
        length: usize,
    },
    /// Bytes that are not a partial.
    Damaged {
        /// What is wrong with them.
        reason: &'static str,
    },
    /// A partial of one kind where another is needed.
    Kind {
        /// The kind needed.
        expected: Kind,
        /// The kind given.
        actual: Kind,
    },
    /// Partials that do not belong to one batch.
    Mismatch {
        /// The property in which they differ.
        what: &'static str,
    },
    /// Partials that do not cover adjacent samples, or do not begin with sample 0 where the whole batch is needed.
    Gap {
        /// First sample needed.
        expected: u64,
        /// First sample given.
        actual: u64,
    },
}

/// What stands between two pieces of a text.
enum Value {
    Text(&'static str),
    Number(u64),
}

impl KernelError {
    /// Hands over the text, piece by piece.
    pub fn describe(&self, write: &mut dyn FnMut(&str)) {
        use Value::{Number, Text};
        let (pieces, values) = match *self {
            Self::Length { name, expected, actual } => (
                ["expected ", " to have ", " values, got ", ""],
                [Text(name), Number(expected as u64), Number(actual as u64)],
            ),
            Self::Shape { samples, channels, length } => (
                ["expected at least one channel and no more elements than memory holds, got ", " × ", " × ", ""],
                [samples, channels, length].map(|size| Number(size as u64)),
            ),
            Self::Samples { first, samples, length } => (
                [
                    "expected a batch of at most 4294967295 samples and 2^53 values per channel, got samples from ",
                    " on, ",
                    " × ",
                    "",
                ],
                [first, samples, length as u64].map(Number),
            ),
            Self::Damaged { reason } => (["damaged partial: ", "", "", ""], [Text(reason), Text(""), Text("")]),
            Self::Kind { expected, actual } => (
                ["expected a partial of kind ", ", got ", "", ""],
                [Text(expected.name()), Text(actual.name()), Text("")],
            ),
            Self::Mismatch { what } => {
                (["expected partials of one batch, but they differ in ", "", "", ""], [Text(what), Text(""), Text("")])
            }
            Self::Gap { expected, actual } => (
                ["expected a partial that begins with sample ", ", got one that begins with sample ", "", ""],
                [Number(expected), Number(actual), Text("")],
            ),
        };
        for (i, piece) in pieces.into_iter().enumerate() {
            write(piece);
            match values.get(i) {
                Some(Text(text)) => write(text),
                Some(Number(number)) => write_number(*number, write),
                None => {}
            }
        }
    }
}

impl Display for KernelError {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> core::fmt::Result {
        let mut result = Ok(());
        self.describe(&mut |piece| result = result.and_then(|()| formatter.write_str(piece)));
        result
    }
}

impl core::error::Error for KernelError {}

const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// In decimal digits.
fn write_number(number: u64, write: &mut dyn FnMut(&str)) {
    let mut divisor = 1;
    while number / divisor >= 10 {
        divisor *= 10;
    }
    while divisor > 0 {
        write(DIGITS[usize::try_from(number / divisor % 10).unwrap_or_default()]);
        divisor /= 10;
    }
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

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn the_text_says_what_was_expected_and_what_was_given() {
        let told = |error: KernelError| error.to_string();
        let length = KernelError::Length { name: "x", expected: 120, actual: 0 };
        assert_eq!(told(length), "expected x to have 120 values, got 0");
        let kind = KernelError::Kind { expected: Kind::Moments, actual: Kind::Sums };
        assert_eq!(told(kind), "expected a partial of kind moments, got sums");
        assert_eq!(told(KernelError::Damaged { reason: "bytes are missing" }), "damaged partial: bytes are missing");
        let gap = KernelError::Gap { expected: u64::MAX, actual: 10 };
        let expected =
            "expected a partial that begins with sample 18446744073709551615, got one that begins with sample 10";
        assert_eq!(told(gap), expected);
    }
}
