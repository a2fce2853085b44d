//! How the vectors of a batch are divided among the invocations of a kernel that looks at each once; see `channels.wgsl` and `runs.wgsl`.

use syncbn_core::{Layout, STATISTICS_ROWS};

use crate::dispatch::{Binding, Dispatch, flat, vectors, word};
use crate::pipelines::Kernel;
use crate::shaders::Shader;
use crate::tiles::{Family, is_contiguous};

/// Values of a block.
pub(crate) const BLOCK: usize = 16;
/// Vectors of a long run in planes.
pub(crate) const LONG: usize = 128;
/// Rows of a run of rows.
pub(crate) const ROWS: usize = 32;
/// Values of the shortest plane that a run can follow: a vector must not touch more than two.
pub(crate) const SHORTEST_PLANE: usize = 4;

/// The runs of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Runs {
    layout: Layout,
    family: Family,
    /// Whether neighbours have other channels.
    is_rows: bool,
    /// Values of a plane, or of a row.
    size: usize,
    /// What a run consists of: vectors of one, or of four where planes or rows are whole blocks.
    unit: usize,
    /// Units of a run.
    run: usize,
    /// From a unit to the next of a run.
    stride: usize,
}

impl Runs {
    pub(crate) fn of(layout: Layout, family: Family) -> Self {
        let is_rows = !is_contiguous(&layout) || layout.length() == 1;
        let size = if is_rows { layout.channels() } else { layout.length() };
        let unit = if family == Family::Chunked && size.is_multiple_of(BLOCK) { BLOCK / 4 } else { 1 };
        let (run, stride, family) = match (is_rows, size) {
            (true, _) => (ROWS, period(size) / unit, family),
            (false, ..SHORTEST_PLANE) => (1, 1, Family::Coalesced),
            (false, _) => (run_of_planes(period(size)) / unit, 1, family),
        };
        Self { layout, family, is_rows, size, unit, run, stride }
    }

    pub(crate) fn kernel(&self, shader: Shader, in_place: bool) -> Kernel {
        let entry = if self.unit > 1 { "blocks" } else { self.family.entry() };
        let flags = [("ROWS", self.is_rows), ("ALIGNED", self.size.is_multiple_of(4)), ("IN_PLACE", in_place)];
        Kernel::new(shader, entry, &flags.map(|(name, flag)| (name, u32::from(flag))))
    }

    /// A kernel over all elements, if there are any, that reads some tensors and writes one.
    pub(crate) fn dispatch(&self, kernel: Kernel, flags: u32, bindings: Vec<Binding>, tensors: u64) -> Vec<Dispatch> {
        let layout = &self.layout;
        if layout.elements() == 0 {
            return Vec::new();
        }
        let vectors = vectors(layout.elements());
        let units = vectors / self.unit;
        let invocations = match self.family {
            Family::Coalesced => units,
            Family::Chunked => units.div_ceil(self.run * self.stride) * self.stride,
        };
        let [length, run, stride] = [layout.length(), self.run, self.stride].map(word);
        let params = vec![word(units), word(layout.channels()), length, flags, run, stride];
        let mut dispatch = flat(kernel, params, bindings, invocations, 0);
        dispatch.bytes_read = 16 * tensors * vectors as u64 + 4 * (STATISTICS_ROWS * layout.channels()) as u64;
        dispatch.bytes_written = 16 * vectors as u64;
        vec![dispatch]
    }
}

/// Vectors after which places in something of this size repeat.
fn period(size: usize) -> usize {
    match size % 4 {
        0 => size / 4,
        2 => size / 2,
        _ => size,
    }
}

/// Runs of as many whole periods as fit, or of an equal part of one: neighbouring invocations then come to the end of a plane
/// together, which adapters with SIMD registers need. Of whole blocks, if the period is.
fn run_of_planes(period: usize) -> usize {
    if period <= LONG {
        return LONG / period * period;
    }
    let step = if (4 * period).is_multiple_of(BLOCK) { BLOCK / 4 } else { 1 };
    let lengths = (LONG / 2..=LONG).rev().chain(LONG..2 * LONG);
    lengths.filter(|run| run.is_multiple_of(step)).find(|run| period.is_multiple_of(*run)).unwrap_or(LONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_where_planes_do_if_they_can() {
        assert_eq!([16, 49, 128, 98, 196, 784, 4096].map(run_of_planes), [128, 98, 128, 98, 196, 112, 128]);
        // A prime.
        assert_eq!(run_of_planes(3121), LONG);
        assert_eq!([4, 6, 7].map(period), [1, 3, 7]);
    }

    #[test]
    fn planes_of_whole_blocks_have_runs_of_whole_blocks() {
        for blocks in (1..300).chain([4096, 65_536]) {
            assert!(run_of_planes(period(BLOCK * blocks)).is_multiple_of(BLOCK / 4), "{blocks}");
        }
    }
}
