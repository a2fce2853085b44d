//! How a batch lies in memory.

use core::ops::Range;

use crate::error::{KernelError, expect_channels, expect_length};

/// Order of the dimensions in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// (N, C, L): the values of one sample and channel, a *plane*, are adjacent.
    Contiguous,
    /// (N, L, C): the values of one position, a *row*, are adjacent.
    ChannelsLast,
}

/// A batch in memory: N samples, C channels, L values per sample and channel (the product of the dimensions after C).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    samples: usize,
    channels: usize,
    length: usize,
    format: Format,
    /// First and end of the channels that steps work on.
    worked_on: [usize; 2],
}

/// Least number of values of one channel in a leaf of the canonical tree.
pub(crate) const LEAF_VALUES: usize = 32;

impl Layout {
    /// A layout whose elements can be counted.
    ///
    /// Two shapes are brought to one form, so that kernels need not tell them apart: L = 1 is channels-last in either
    /// format, and L = 0 is an empty batch.
    ///
    /// # Errors
    /// [`KernelError::Shape`] if there is no channel or there are more elements than memory can hold.
    pub fn new(samples: usize, channels: usize, length: usize, format: Format) -> Result<Self, KernelError> {
        let elements = samples.checked_mul(channels).and_then(|rows| rows.checked_mul(length));
        if channels == 0 || elements.is_none_or(|elements| elements > usize::MAX / 8) {
            return Err(KernelError::Shape { samples, channels, length });
        }
        let worked_on = [0, channels];
        Ok(match length {
            0 => Self { samples: 0, channels, length: 1, format: Format::ChannelsLast, worked_on },
            1 => Self { samples, channels, length, format: Format::ChannelsLast, worked_on },
            _ => Self { samples, channels, length, format, worked_on },
        })
    }

    /// The same batch, of which steps work on some channels: they read and write those alone, and partials hold no others.
    ///
    /// The bits are those of all channels where each plane is a leaf or more (contiguous, G = 1). Rows are laid together and
    /// cut into vectors by the number of their channels, so batches of rows must be worked on as a whole.
    ///
    /// # Errors
    /// [`KernelError::Length`] if these are not channels of the batch, or none.
    pub fn of_channels(self, channels: Range<usize>) -> Result<Self, KernelError> {
        expect_channels(&channels, self.channels)?;
        if channels.is_empty() {
            return Err(KernelError::Length { name: "channels", expected: self.channels, actual: 0 });
        }
        Ok(Self { worked_on: [channels.start, channels.end], ..self })
    }

    /// The channels that steps work on.
    #[must_use]
    pub fn worked_on(&self) -> Range<usize> {
        self.worked_on[0]..self.worked_on[1]
    }

    /// N.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// C.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// L.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// Order of the dimensions.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// N·C·L.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.samples * self.channels * self.length
    }

    /// n = N·L, the values per channel.
    #[must_use]
    pub fn values_per_channel(&self) -> u64 {
        self.samples as u64 * self.length as u64
    }

    /// G: samples in a leaf of the canonical tree, the smallest power of two with G·L ≥ 32.
    #[must_use]
    pub fn leaf_samples(&self) -> usize {
        leaf_samples(self.length)
    }

    /// Checks that a tensor has one value per element.
    pub(crate) fn expect_tensor(&self, name: &'static str, tensor: &[f32]) -> Result<(), KernelError> {
        expect_length(name, tensor.len(), self.elements())
    }

    /// Checks that a vector has one value per channel.
    pub(crate) fn expect_vector(&self, name: &'static str, vector: Option<&[f32]>) -> Result<(), KernelError> {
        vector.map_or(Ok(()), |vector| expect_length(name, vector.len(), self.channels))
    }
}

/// G: samples in a leaf of the canonical tree, the smallest power of two with G·L ≥ 32.
pub(crate) fn leaf_samples(length: usize) -> usize {
    LEAF_VALUES.div_ceil(length.max(1)).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_is_the_smallest_power_of_two_of_samples_with_32_values() {
        for length in 1..100 {
            let samples = leaf_samples(length);
            assert!(samples.is_power_of_two() && samples * length >= LEAF_VALUES);
            assert!(samples == 1 || samples / 2 * length < LEAF_VALUES);
        }
    }

    #[test]
    fn length_one_is_channels_last() {
        let layout = Layout::new(4, 3, 1, Format::Contiguous).expect("a plain shape");
        assert_eq!(layout.format(), Format::ChannelsLast);
    }

    #[test]
    fn shapes_without_channels_or_beyond_memory_are_refused() {
        for (samples, channels, length) in [(1, 0, 1), (usize::MAX, 2, 1), (1 << 20, 1 << 22, 1 << 22)] {
            let shape = KernelError::Shape { samples, channels, length };
            assert_eq!(Layout::new(samples, channels, length, Format::Contiguous), Err(shape));
        }
    }
}
