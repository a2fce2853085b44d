//! The sizes at which kernels change what they do, so that tests can search the shapes around each.
//!
//! No kernel reads this list. `tests/shapes` fails when a size that a kernel defines is missing here.

use crate::{layout, normalize, reduce};

/// A size at which kernels change what they do.
#[derive(Debug, Clone, Copy)]
pub struct Boundary {
    /// The constant that holds it.
    pub name: &'static str,
    /// In values, columns or rows of a tensor.
    pub size: usize,
}

/// All of them.
pub const BOUNDARIES: [Boundary; 20] = [
    of("LEAF_VALUES", layout::LEAF_VALUES),
    of("LEAVES", reduce::LEAVES),
    of("WIDE", layout::WIDE),
    of("LINE", layout::LINE),
    of("GATHERED", layout::GATHERED),
    // A block is counted in vectors.
    of("PLANE_BLOCK", 4 * reduce::PLANE_BLOCK),
    of("ROWS_BLOCK", reduce::ROWS_BLOCK),
    of("GROUP", reduce::GROUP),
    of("NARROW", reduce::NARROW),
    of("STRIP", reduce::STRIP),
    of("TILE_VALUES", layout::TILE_VALUES),
    of("RUN_VALUES", layout::RUN_VALUES),
    of("COLUMNS_AT_ONCE", normalize::COLUMNS_AT_ONCE),
    of("MANY_COLUMNS", normalize::MANY_COLUMNS),
    of("BLOCK", normalize::BLOCK),
    of("SHORT", normalize::SHORT),
    of("SHORT_OF_MANY", normalize::SHORT_OF_MANY),
    of("MANY", normalize::MANY),
    of("TILE", layout::TILE),
    of("ROWS_PER_MIDDLE", reduce::ROWS_PER_MIDDLE),
];

const fn of(name: &'static str, size: usize) -> Boundary {
    Boundary { name, size }
}
