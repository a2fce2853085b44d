//! The numbers and the bytes of one command, read from the first to the last.

use core::fmt::{Display, Formatter};

use syncbn_core::KernelError;

/// So many words are enough for any row.
pub const MOST_WORDS: usize = 32;

/// What cannot be decoded.
#[derive(Debug, Clone, PartialEq)]
pub enum CommandError {
    /// No row of the table has this number: the tables of the two languages differ.
    Unknown {
        /// The number.
        number: u32,
    },
    /// No batch has this layout.
    Layout(KernelError),
}

impl Display for CommandError {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Unknown { number } => write!(formatter, "expected the number of a command, got {number}"),
            Self::Layout(error) => error.fmt(formatter),
        }
    }
}

impl core::error::Error for CommandError {}

impl From<KernelError> for CommandError {
    fn from(error: KernelError) -> Self {
        Self::Layout(error)
    }
}

/// The words and the bytes of a command, of which some have been read.
#[derive(Debug)]
pub struct Words<'a> {
    words: [f64; MOST_WORDS],
    /// How many words have been read.
    read: usize,
    bytes: &'a [u8],
}

impl<'a> Words<'a> {
    /// The words of a command, and its bytes, empty if it has none. Words that are missing are 0.
    #[must_use]
    pub fn new(given: &[f64], bytes: &'a [u8]) -> Self {
        let mut words = [0.0; MOST_WORDS];
        for (word, given) in words.iter_mut().zip(given) {
            *word = *given;
        }
        Self { words, read: 0, bytes }
    }

    /// The next word.
    pub(crate) fn number(&mut self) -> f64 {
        let word = self.words[self.read];
        self.read += 1;
        word
    }

    /// The next word as a whole number: a handle, a count or a choice.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates; NaN becomes 0")]
    pub(crate) fn whole(&mut self) -> u32 {
        self.number() as u32
    }

    /// The bytes, if the next word says that they are there.
    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        if self.whole() == 0 { None } else { Some(self.bytes) }
    }
}
