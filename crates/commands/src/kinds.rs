//! The kinds of fields that a row may have. `ts/device/command_words.ts` writes what is read here.

use core::ops::Range;

use syncbn_core::{Format, Layout};

use crate::words::{CommandError, Words};

/// How a field is read.
pub trait Field {
    /// What it is to a kernel.
    type Value<'a>;

    /// Reads it.
    ///
    /// # Errors
    /// [`CommandError::Layout`] for a batch that cannot be.
    fn read<'a>(words: &mut Words<'a>) -> Result<Self::Value<'a>, CommandError>;
}

/// Defines kinds that read single words and never fail.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $value:ty: $read:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub struct $kind;

            impl Field for $kind {
                type Value<'a> = $value;
                fn read<'a>(words: &mut Words<'a>) -> Result<$value, CommandError> {
                    let read: fn(&mut Words<'a>) -> $value = $read;
                    Ok(read(words))
                }
            }
        )*
    };
}

kinds! {
    /// Handle of a buffer that is read.
    Input = u32: |words| words.whole();
    /// The same; 0 where there is none.
    OptionalInput = u32: |words| words.whole();
    /// Handle of a buffer that is written.
    Output = u32: |words| words.whole();
    /// The same; 0 where the result is not wanted.
    OptionalOutput = u32: |words| words.whole();
    /// A number.
    Number = f64: |words| words.number();
    /// A number, or none.
    OptionalNumber = Option<f64>: |words| Some(words.number()).filter(|number| !number.is_nan());
    /// A whole number.
    Count = u32: |words| words.whole();
    /// A whole number, or 0.
    OptionalCount = u32: |words| words.whole();
    /// Yes or no.
    Flag = bool: |words| words.whole() != 0;
    /// `stable` or `torch`.
    Numerics = syncbn_core::Numerics: |words| {
        if words.whole() == 0 { syncbn_core::Numerics::Stable } else { syncbn_core::Numerics::Torch }
    };
    /// `plus` or `clamp`.
    EpsMode = syncbn_core::EpsMode: |words| {
        if words.whole() == 0 { syncbn_core::EpsMode::Plus } else { syncbn_core::EpsMode::Clamp }
    };
    /// Which channels a step works on.
    OptionalChannels = Channels: |words| Channels { first: words.whole() as usize, end: words.whole() as usize };
}

/// Bytes that are there; empty ones, which no kernel takes, where they are not.
#[derive(Debug)]
pub struct Bytes;

impl Field for Bytes {
    type Value<'a> = &'a [u8];

    fn read<'a>(words: &mut Words<'a>) -> Result<&'a [u8], CommandError> {
        Ok(words.bytes().unwrap_or_default())
    }
}

/// Bytes, or none.
#[derive(Debug)]
pub struct OptionalBytes;

impl Field for OptionalBytes {
    type Value<'a> = Option<&'a [u8]>;

    fn read<'a>(words: &mut Words<'a>) -> Result<Option<&'a [u8]>, CommandError> {
        Ok(words.bytes())
    }
}

/// A batch in memory, of which a step may work on some channels.
#[derive(Debug)]
pub struct Batch;

impl Field for Batch {
    type Value<'a> = Layout;

    fn read(words: &mut Words<'_>) -> Result<Layout, CommandError> {
        let [samples, channels, length] = [words.whole(), words.whole(), words.whole()].map(|size| size as usize);
        let format = if words.whole() == 0 { Format::Contiguous } else { Format::ChannelsLast };
        let layout = Layout::new(samples, channels, length, format)?;
        let part = OptionalChannels::read(words)?;
        Ok(layout.of_channels(part.of(channels))?)
    }
}

/// Channels from the first number to before the second, or all of them where the second is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channels {
    first: usize,
    end: usize,
}

impl Channels {
    /// Which ones they are of so many.
    #[must_use]
    pub fn of(self, all: usize) -> Range<usize> {
        self.first..if self.end == 0 { all } else { self.end }
    }
}
