//! The numbers and the bytes of one command, read from the first to the last.

use core::fmt::{Display, Formatter};

use syncbn_core::KernelError;

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

/// The words and the bytes of commands that follow each other, of which some have been read.
#[derive(Debug)]
pub struct Words<'a> {
    /// Those that have not been read.
    words: &'a [f64],
    bytes: &'a [u8],
}

impl<'a> Words<'a> {
    /// The words of commands, and the bytes that they share, empty if there are none. Words that are missing are 0.
    #[must_use]
    pub fn new(words: &'a [f64], bytes: &'a [u8]) -> Self {
        Self { words, bytes }
    }

    /// The next word.
    pub(crate) fn number(&mut self) -> f64 {
        let Some((word, rest)) = self.words.split_first() else { return 0.0 };
        self.words = rest;
        *word
    }

    /// The next word as a whole number: a handle, a count, a choice, or the number of a command.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates; NaN becomes 0")]
    pub fn whole(&mut self) -> u32 {
        self.number() as u32
    }

    /// The bytes, if the next word says that they are there.
    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        if self.whole() == 0 { None } else { Some(self.bytes) }
    }
}
