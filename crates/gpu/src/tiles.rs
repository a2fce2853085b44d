//! How a batch is cut for the kernels that reduce. The cuts, and with them the order of the arithmetic, follow from C, L, the
//! memory format and the adapter alone, never from the samples that a device holds.

use syncbn_core::{Format, Layout};

use crate::dispatch::word;
use crate::pipelines::Kernel;
use crate::shaders::Shader;

/// Which of the two families of kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Many invocations to a plane, whose sums meet in a tree: for GPUs.
    Coalesced,
    /// One invocation to a chunk of a plane, without barriers: for software adapters, where a barrier costs more than the sum.
    Chunked,
}

impl Family {
    /// That of a class of adapters.
    pub(crate) fn of(is_software: bool) -> Self {
        if is_software { Self::Chunked } else { Self::Coalesced }
    }

    /// What its entry points are called.
    pub(crate) fn entry(self) -> &'static str {
        match self {
            Self::Coalesced => "coalesced",
            Self::Chunked => "chunked",
        }
    }
}

/// Values of the largest chunk of a plane.
pub(crate) const PLANE_CHUNK: usize = 4096;
/// Rows of the largest chunk of rows for `coalesced`, and for `chunked` if they have 13 channels or more.
pub(crate) const LONG_ROWS_CHUNK: usize = 512;
pub(crate) const ROWS_CHUNK: usize = 256;
/// Vectors that a lane sums before they go to a pair; see `sums.wgsl`.
pub(crate) const BLOCK: usize = 16;
/// Invocations of a workgroup of `coalesced` and of `chunked`.
pub(crate) const COALESCED: usize = 128;
pub(crate) const CHUNKED: usize = 64;

/// Values of a channel for which a lane of `coalesced` is worth while: of rows and of planes.
pub(crate) const LANE_OF_ROWS: usize = 32;
pub(crate) const LANE_OF_PLANES: usize = 64;
/// Invocations of `coalesced` that share a unit at most.
pub(crate) const MOST_LANES: usize = 32;

/// The cuts of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiles {
    pub(crate) layout: Layout,
    pub(crate) family: Family,
    /// Whether units are columns of rows, and not planes.
    pub(crate) is_rows: bool,
    /// K, a power of two.
    pub(crate) chunks: usize,
    /// Values of a channel in a chunk.
    pub(crate) chunk: usize,
}

impl Tiles {
    pub(crate) fn of(layout: Layout, family: Family) -> Self {
        let (length, leaf) = (layout.length(), layout.leaf_samples());
        let is_rows = layout.format() == Format::ChannelsLast || leaf > 1;
        let largest = match (is_rows, family) {
            (false, _) => PLANE_CHUNK,
            (true, Family::Coalesced) => LONG_ROWS_CHUNK,
            // Each node is merged by the invocation that merges those before it: with few channels better few nodes.
            (true, Family::Chunked) => ROWS_CHUNK * (4 / layout.channels().div_ceil(4)).max(1),
        };
        let chunks = if leaf > 1 { 1 } else { length.div_ceil(largest).next_power_of_two() };
        let chunk = (leaf * length).div_ceil(chunks).next_multiple_of(4);
        Self { layout, family, is_rows, chunks, chunk }
    }

    /// Atoms of some samples, the last leaf of which may be incomplete.
    pub(crate) fn atoms(&self, samples: usize) -> usize {
        samples.div_ceil(self.layout.leaf_samples()) * self.chunks
    }

    pub(crate) fn units(&self, samples: usize) -> usize {
        let columns = if self.is_rows { self.layout.channels().div_ceil(4) } else { self.layout.channels() };
        self.atoms(samples) * columns
    }

    /// Bytes of some nodes: four rows of f32, of whole vectors.
    pub(crate) fn node_bytes(&self, nodes: usize) -> u64 {
        node_bytes(self.layout.channels(), nodes)
    }

    pub(crate) fn kernel(&self, shader: Shader) -> Kernel {
        // With one value per sample and channel both formats are the same memory.
        let is_contiguous = self.layout.format() == Format::Contiguous && self.layout.length() > 1;
        let has_vectors = match (self.is_rows, is_contiguous) {
            (true, true) => false,
            (true, false) => self.layout.channels().is_multiple_of(4),
            (false, _) => self.layout.length().is_multiple_of(4),
        };
        let vectors = if self.is_rows { self.chunk } else { self.chunk / 4 };
        let has_blocks = vectors > BLOCK * self.lanes();
        let flags = [
            ("ROWS", self.is_rows),
            ("CONTIGUOUS", is_contiguous),
            ("VECTORS", has_vectors),
            ("HAS_FOURS", self.family == Family::Coalesced || has_blocks),
            ("HAS_BLOCKS", has_blocks),
        ];
        let mut constants: Vec<_> = flags.map(|(name, flag)| (name, u32::from(flag))).into();
        if self.family == Family::Coalesced {
            constants.push(("LANES", word(self.lanes())));
        }
        Kernel { shader, entry: self.family.entry(), constants }
    }

    pub(crate) fn workgroups(&self, units: usize) -> u64 {
        let per_workgroup = match self.family {
            Family::Chunked => CHUNKED,
            Family::Coalesced => COALESCED / self.lanes(),
        };
        units.div_ceil(per_workgroup) as u64
    }

    /// Invocations per unit: few, for their sums have to meet, but enough to read what is adjacent together and to have all of memory
    /// at work.
    fn lanes(&self) -> usize {
        if self.family == Family::Chunked {
            return 1;
        }
        let (per_lane, most) = if self.is_rows {
            // A workgroup then has all columns of 128 channels or fewer, which lie one after the other.
            (LANE_OF_ROWS, (4 * COALESCED / self.layout.channels()).next_power_of_two().clamp(4, MOST_LANES))
        } else {
            (LANE_OF_PLANES, MOST_LANES)
        };
        self.chunk.div_ceil(per_lane).next_power_of_two().min(most)
    }
}

/// Bytes of some nodes: four rows of f32, of whole vectors.
pub(crate) fn node_bytes(channels: usize, nodes: usize) -> u64 {
    16 * channels.next_multiple_of(4) as u64 * nodes as u64
}

/// Whether memory is (N, C, L).
pub(crate) fn is_contiguous(layout: &Layout) -> bool {
    layout.format() == Format::Contiguous
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_a_leaf_and_none_but_the_last_is_short() {
        for length in (1..5000).chain([65_536, 65_537, 1 << 20]) {
            for format in [Format::Contiguous, Format::ChannelsLast] {
                let layout = Layout::new(3, 5, length, format).expect("a moderate shape");
                let tiles = Tiles::of(layout, Family::Coalesced);
                let leaf = layout.leaf_samples() * length;
                assert!(tiles.chunks.is_power_of_two() && tiles.chunks * tiles.chunk >= leaf, "{length}");
                assert!(tiles.chunk <= PLANE_CHUNK && tiles.chunk.is_multiple_of(4), "{length}");
                assert!(COALESCED.is_multiple_of(tiles.lanes()), "{length}");
            }
        }
    }
}
