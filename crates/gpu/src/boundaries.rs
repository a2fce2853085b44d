//! The sizes at which kernels change what they do, so that tests can search the shapes around each.
//!
//! No kernel reads this list. `tests/match_core/search.rs` fails when a size that is defined for kernels is missing here.

use syncbn_core::{Format, Layout};

use crate::{dispatch, elementwise, merge, runs, tiles};

/// A size at which kernels change what they do.
#[derive(Debug, Clone, Copy)]
pub struct Boundary {
    /// The constant that holds it; the file is part of the name where several files have one of that name.
    pub name: &'static str,
    /// In values, columns, rows or nodes of a tensor.
    pub size: usize,
}

/// All of them.
#[must_use]
pub fn boundaries() -> Vec<Boundary> {
    let leaf = Layout::new(1, 1, 1, Format::Contiguous).map_or(1, |layout| layout.leaf_samples());
    [
        ("LEAF_VALUES", leaf),
        ("tiles::PLANE_CHUNK", tiles::PLANE_CHUNK),
        ("tiles::LONG_ROWS_CHUNK", tiles::LONG_ROWS_CHUNK),
        ("tiles::ROWS_CHUNK", tiles::ROWS_CHUNK),
        // Vectors of rows, and vectors of four values of a plane.
        ("tiles::BLOCK", tiles::BLOCK),
        ("tiles::BLOCK", 4 * tiles::BLOCK),
        ("tiles::COALESCED", tiles::COALESCED),
        ("tiles::CHUNKED", tiles::CHUNKED),
        ("tiles::LANE_OF_ROWS", tiles::LANE_OF_ROWS),
        ("tiles::LANE_OF_PLANES", tiles::LANE_OF_PLANES),
        ("tiles::MOST_LANES", tiles::MOST_LANES),
        // An invocation has four channels, and begins with a node or more.
        ("merge::CHUNKED", 4 * merge::CHUNKED),
        ("merge::COALESCED", merge::COALESCED),
        ("merge::COALESCED", 4 * merge::COALESCED),
        ("runs::BLOCK", runs::BLOCK),
        ("runs::LONG", 4 * runs::LONG),
        ("runs::ROWS", runs::ROWS),
        ("runs::SHORTEST_PLANE", runs::SHORTEST_PLANE),
        ("dispatch::WORKGROUP", 4 * dispatch::WORKGROUP),
        ("elementwise::TILE", elementwise::TILE),
    ]
    .map(|(name, size)| Boundary { name, size })
    .into()
}
