//! What is left of a whole batch.

use alloc::vec::Vec;

use crate::kind::Kind;

/// A partial of a whole batch, reduced to one value of each row per channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// What the values are.
    pub kind: Kind,
    /// n, the values per channel.
    pub count: u64,
    /// One row of C per value of the kind.
    pub values: Vec<f64>,
    /// The centre of `deviations`; empty for the other kinds.
    pub centre: Vec<f32>,
}
