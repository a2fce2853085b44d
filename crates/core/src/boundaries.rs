//! The sizes at which kernels change what they do, so that tests can search the shapes around each.
//!
//! No kernel reads this list. `tests/shapes` fails when a size that a kernel defines is missing here.

use crate::{elementwise, layout, leaves, moments, rows, sums, tile, transpose};

/// A size at which kernels change what they do.
#[derive(Debug, Clone, Copy)]
pub struct Boundary {
    /// The constant that holds it.
    pub name: &'static str,
    /// In values, columns or rows of a tensor.
    pub size: usize,
}

/// All of them.
pub const BOUNDARIES: [Boundary; 19] = [
    of("LEAF_VALUES", layout::LEAF_VALUES),
    of("LEAVES", leaves::LEAVES),
    of("WIDE", rows::WIDE),
    of("LINE", rows::LINE),
    of("GATHERED", rows::GATHERED),
    // A block is counted in vectors.
    of("PLANE_BLOCK", 4 * sums::PLANE_BLOCK),
    of("ROWS_BLOCK", sums::ROWS_BLOCK),
    of("GROUP", sums::GROUP),
    of("NARROW", sums::NARROW),
    of("STRIP", sums::STRIP),
    of("TILE_VALUES", tile::TILE_VALUES),
    of("RUN_VALUES", tile::RUN_VALUES),
    of("COLUMNS_AT_ONCE", elementwise::COLUMNS_AT_ONCE),
    of("HALF_BLOCK", elementwise::HALF_BLOCK),
    of("SHORT", elementwise::SHORT),
    of("SHORT_OF_MANY", elementwise::SHORT_OF_MANY),
    of("MANY", elementwise::MANY),
    of("TILE", transpose::TILE),
    of("ROWS_PER_MIDDLE", moments::ROWS_PER_MIDDLE),
];

const fn of(name: &'static str, size: usize) -> Boundary {
    Boundary { name, size }
}
