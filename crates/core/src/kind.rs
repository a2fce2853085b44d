//! The four quantities that are reduced over a batch.

/// What a partial holds for each channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Mean and M2 = Σ(x − mean)², for `stable` numerics.
    Moments = 1,
    /// Σx: the first round of `torch` numerics.
    Total = 2,
    /// Σ(x − centre)², rounded as PyTorch rounds: the second round of `torch` numerics.
    Deviations = 3,
    /// Σdy and Σdy·(x − mean).
    Sums = 4,
}

impl Kind {
    /// For errors.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Moments => "moments",
            Self::Total => "total",
            Self::Deviations => "deviations",
            Self::Sums => "sums",
        }
    }

    /// f64 values per channel and node.
    pub(crate) fn values(self) -> usize {
        match self {
            Self::Moments | Self::Sums => 2,
            Self::Total | Self::Deviations => 1,
        }
    }

    /// f32 tensors that the quantity is computed from: x, or dy and x.
    pub(crate) fn inputs(self) -> usize {
        if self == Self::Sums { 2 } else { 1 }
    }

    /// Whether a partial carries the centre its values refer to.
    pub(crate) fn has_centre(self) -> bool {
        self == Self::Deviations
    }
}
