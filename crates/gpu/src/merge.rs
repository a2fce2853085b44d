//! Nodes of the canonical tree merge: to the subtrees of a shard, or to the root of a batch and what follows from it.

use syncbn_core::{Kind, STATISTICS_ROWS};

use crate::dispatch::{Binding, Dispatch, word};
use crate::error::GpuError;
use crate::gpu::Gpu;
use crate::pipelines::Kernel;
use crate::shaders::Shader;
use crate::tiles::{Family, Tiles, node_bytes};

/// Invocations of a workgroup of `chunked` and of `coalesced`; see `merge_lanes.wgsl`.
pub(crate) const CHUNKED: usize = 64;
pub(crate) const COALESCED: usize = 256;

/// Where the running statistics are read and where the updated ones go, as handles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Running {
    /// `running_mean` before the batch.
    pub mean: u32,
    /// `running_var` before the batch.
    pub variance: u32,
    /// `running_mean` after it.
    pub next_mean: u32,
    /// `running_var` after it.
    pub next_variance: u32,
    /// Weight of the new value, between 0 and 1.
    pub momentum: f64,
    /// What is subtracted from n in the divisor of the variance: 1 (unbiased) or 0 (biased).
    pub correction: u32,
}

/// How eps guards the inverse deviation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guard {
    /// The number.
    pub eps: f64,
    /// 1 / √max(var, eps) instead of 1 / √(var + eps).
    pub clamps: bool,
}

/// What nodes are merged.
#[derive(Debug, Clone)]
pub(crate) struct Nodes {
    pub(crate) channels: usize,
    pub(crate) buffer: wgpu::Buffer,
    pub(crate) count: usize,
    /// Values of a channel in all nodes.
    pub(crate) values: u64,
    pub(crate) order: Order,
}

/// How the tree stands above them.
#[derive(Debug, Clone)]
pub(crate) enum Order {
    /// They are the atoms of a range, the first of which has this global number.
    Atoms { tiles: Tiles, first: u64 },
    /// They are those of the partials of a whole batch. A table tells the level of each.
    Partials { levels: wgpu::Buffer, leaves: usize, leaf_values: usize },
}

/// Who merges what.
#[derive(Debug, Clone, Copy)]
struct Sharing {
    /// Invocations of four channels.
    lanes: usize,
    /// Atoms that each begins with.
    block: usize,
}

impl Sharing {
    const NONE: Self = Self { lanes: 1, block: 1 };

    /// An invocation to each atom, or to as few as there are invocations for.
    fn of(first: u64, atoms: usize) -> Self {
        let mut block = 1;
        loop {
            let skipped = usize::try_from(first % block as u64).unwrap_or(0);
            let lanes = (skipped + atoms).div_ceil(block).next_power_of_two();
            if lanes <= COALESCED {
                return Self { lanes, block };
            }
            block *= 2;
        }
    }
}

impl Nodes {
    /// The words that `merge.wgsl` asks for.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "of a number only the low bits decide where it stands in a range"
    )]
    fn params(&self, flags: u32, [eps, momentum]: [f64; 2]) -> Vec<u32> {
        let [atoms, first, chunk_shift, chunk, leaf_values] = match &self.order {
            Order::Partials { leaves, leaf_values, .. } => {
                [word(*leaves), 0, 0, word(*leaf_values), word(*leaf_values)]
            }
            Order::Atoms { tiles, first } => {
                let leaf_values = tiles.layout.leaf_samples() * tiles.layout.length();
                [word(self.count), *first as u32, tiles.chunks.ilog2(), word(tiles.chunk), word(leaf_values)]
            }
        };
        let values = u32::try_from(self.values).unwrap_or(u32::MAX);
        let counts = [0, word(self.channels), atoms, first, chunk_shift, chunk, leaf_values, values, flags];
        let numbers = [single_eps(eps), momentum as f32, (1.0 - momentum) as f32].map(f32::to_bits);
        let Sharing { lanes, block } = self.sharing();
        counts.into_iter().chain(numbers).chain([lanes, block].map(word)).collect()
    }

    fn sharing(&self) -> Sharing {
        match &self.order {
            Order::Atoms { tiles, first } if tiles.family == Family::Coalesced => Sharing::of(*first, self.count),
            Order::Atoms { .. } | Order::Partials { .. } => Sharing::NONE,
        }
    }

    fn dispatch(&self, shader: Shader, until: Until, params: Vec<u32>, outputs: Vec<Binding>) -> Dispatch {
        let (levels, family) = match &self.order {
            Order::Partials { levels, .. } => (Binding::Buffer(levels.clone()), None),
            Order::Atoms { tiles, .. } => (Binding::AbsentInput, Some(tiles.family)),
        };
        let mut bindings = vec![Binding::Buffer(self.buffer.clone()), levels];
        bindings.extend(outputs);
        let Sharing { lanes, block } = self.sharing();
        let is_coalesced = family == Some(Family::Coalesced);
        let workgroup = if is_coalesced { COALESCED / lanes } else { CHUNKED };
        let is_in_lanes = is_coalesced && block == 1 && matches!(until, Until::Root);
        // Elsewhere a node whose right sibling is not the next one is stored and read once more.
        let stored = if is_in_lanes { 0 } else { self.count / 2 };
        Dispatch {
            kernel: merge_kernel(shader, until, family),
            params,
            bindings,
            workgroups: self.channels.div_ceil(4 * workgroup) as u64,
            bytes_read: node_bytes(self.channels, self.count + stored),
            bytes_written: node_bytes(self.channels, stored),
        }
    }

    fn channel_bytes(&self, rows: usize) -> u64 {
        4 * (rows * self.channels) as u64
    }

    /// Leaves the maximal subtrees at the beginning of the buffer.
    pub(crate) fn subtrees(&self, kind: Kind) -> Dispatch {
        let shader = if kind == Kind::Sums { Shader::MergeSums } else { Shader::MergeMoments };
        self.dispatch(shader, Until::Subtrees, self.params(0, [0.0; 2]), Vec::new())
    }
}

/// What is made of the sums of a batch.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Finish {
    pub(crate) statistics: u32,
    pub(crate) weight: u32,
    pub(crate) dweight: u32,
    pub(crate) dbias: u32,
    pub(crate) of_batch: bool,
    pub(crate) clamp_eps: Option<f64>,
}

impl Gpu {
    /// Statistics and running statistics of a whole batch; either may be unwanted.
    pub(crate) fn finalize_nodes(
        &self,
        nodes: &Nodes,
        statistics: Option<(u32, Guard)>,
        running: Option<&Running>,
    ) -> Result<Dispatch, GpuError> {
        let guard = statistics.map_or(Guard { eps: 0.0, clamps: false }, |(_, guard)| guard);
        let is_biased = running.is_some_and(|running| running.correction == 0);
        let flags = [(statistics.is_some(), 1), (running.is_some(), 2), (guard.clamps, 4), (is_biased, 8)];
        let params = nodes.params(bits(&flags), [guard.eps, running.map_or(0.0, |running| running.momentum)]);
        let handles = running
            .map_or([0; 4], |running| [running.mean, running.variance, running.next_mean, running.next_variance]);
        let [mean, variance, next_mean, next_variance] = handles;
        let outputs = vec![
            self.output(statistics.map_or(0, |(statistics, _)| statistics))?,
            self.input(mean)?,
            self.input(variance)?,
            self.output(next_mean)?,
            self.output(next_variance)?,
        ];
        let mut dispatch = nodes.dispatch(Shader::MergeMoments, Until::Root, params, outputs);
        dispatch.bytes_written += nodes.channel_bytes(STATISTICS_ROWS * usize::from(statistics.is_some()));
        dispatch.bytes_read += nodes.channel_bytes(2 * usize::from(running.is_some()));
        dispatch.bytes_written += nodes.channel_bytes(2 * usize::from(running.is_some()));
        Ok(dispatch)
    }

    /// Gradients of weight and bias, and what `backward_input` needs of a whole batch.
    pub(crate) fn finish_sums(
        &self,
        nodes: &Nodes,
        finish: &Finish,
        plane: Option<&wgpu::Buffer>,
    ) -> Result<Dispatch, GpuError> {
        let flags = [
            (finish.weight != 0, 1),
            (finish.dweight != 0, 2),
            (finish.dbias != 0, 4),
            (finish.of_batch, 8),
            (finish.clamp_eps.is_some(), 16),
            (plane.is_some(), 32),
        ];
        let params = nodes.params(bits(&flags), [finish.clamp_eps.unwrap_or(0.0), 0.0]);
        let outputs = vec![
            self.input(finish.statistics)?,
            self.input(finish.weight)?,
            self.output(finish.dweight)?,
            self.output(finish.dbias)?,
            plane.map_or(Binding::AbsentOutput, |plane| Binding::Buffer(plane.clone())),
        ];
        let mut dispatch = nodes.dispatch(Shader::MergeSums, Until::Root, params, outputs);
        dispatch.bytes_read += nodes.channel_bytes(STATISTICS_ROWS + usize::from(finish.weight != 0));
        let rows = usize::from(finish.dweight != 0) + usize::from(finish.dbias != 0);
        dispatch.bytes_written += nodes.channel_bytes(rows + if plane.is_some() { 4 } else { 0 });
        Ok(dispatch)
    }

    pub(crate) fn input(&self, handle: u32) -> Result<Binding, GpuError> {
        Ok(Binding::input(self.optional(handle)?))
    }

    pub(crate) fn output(&self, handle: u32) -> Result<Binding, GpuError> {
        if handle == 0 { Ok(Binding::AbsentOutput) } else { self.writable(handle) }
    }
}

/// How far nodes are merged.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Subtrees,
    Root,
}

/// The variant of a kernel that merges the atoms of a family, or the few nodes that partials have.
pub(crate) fn merge_kernel(shader: Shader, until: Until, family: Option<Family>) -> Kernel {
    let entry = match (family, until) {
        (Some(Family::Coalesced), Until::Subtrees) => "coalesced_subtrees",
        (Some(Family::Coalesced), Until::Root) => "coalesced_root",
        (_, Until::Subtrees) => "chunked_subtrees",
        (_, Until::Root) => "chunked_root",
    };
    Kernel::new(shader, entry, &[("FROM_TABLE", u32::from(family.is_none()))])
}

/// Eps in single precision. One that is positive stays so: GPUs take numbers below the normal range for 0, and 0 divided by the
/// deviation of a constant channel is not a number.
#[allow(clippy::cast_possible_truncation, reason = "eps is rounded once")]
pub(crate) fn single_eps(eps: f64) -> f32 {
    if eps > 0.0 { (eps as f32).max(f32::MIN_POSITIVE) } else { eps as f32 }
}

fn bits(flags: &[(bool, u32)]) -> u32 {
    flags.iter().filter(|(is_set, _)| *is_set).map(|(_, bit)| bit).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_all_atoms_and_are_single_atoms_if_they_can() {
        for first in [0, 1, 7, 1000, u64::from(u32::MAX) * 64] {
            for atoms in (0..300).chain([1023, 1024, 4096, 100_000]) {
                let Sharing { lanes, block } = Sharing::of(first, atoms);
                assert!(lanes.is_power_of_two() && lanes <= COALESCED && block.is_power_of_two());
                let skipped = usize::try_from(first % block as u64).expect("small");
                assert!(lanes * block >= skipped + atoms, "{atoms} from {first}");
                assert!(block == 1 || skipped + atoms > COALESCED * block / 2, "{atoms} from {first}");
            }
        }
    }
}
