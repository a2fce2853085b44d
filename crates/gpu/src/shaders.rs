//! The text of the shaders, each with the preludes it needs.

/// A kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shader {
    /// Sums of tensors.
    Add,
    /// Input gradients.
    BackwardInput,
    /// Backward sums of atoms.
    BackwardReduce,
    /// Rows from buffer to buffer.
    CopyRows,
    /// Statistics from the running ones.
    EvaluationStatistics,
    /// One value everywhere.
    Fill,
    /// Moments of nodes, statistics, running statistics.
    MergeMoments,
    /// Backward sums of nodes, parameter gradients.
    MergeSums,
    /// Moments of atoms.
    Moments,
    /// Outputs.
    Normalize,
    /// The other memory format.
    Permute,
}

/// All kernels.
pub const SHADERS: [Shader; 11] = [
    Shader::Add,
    Shader::BackwardInput,
    Shader::BackwardReduce,
    Shader::CopyRows,
    Shader::EvaluationStatistics,
    Shader::Fill,
    Shader::MergeMoments,
    Shader::MergeSums,
    Shader::Moments,
    Shader::Normalize,
    Shader::Permute,
];

const CHANNELS: &str = include_str!("../shaders/channels.wgsl");
const MERGE: &str = include_str!("../shaders/merge.wgsl");
const MERGE_LANES: &str = include_str!("../shaders/merge_lanes.wgsl");
const PAIRS: &str = include_str!("../shaders/pairs.wgsl");
const REDUCE: &str = include_str!("../shaders/reduce.wgsl");
const RUNS: &str = include_str!("../shaders/runs.wgsl");
const SUMS: &str = include_str!("../shaders/sums.wgsl");
const UNITS: &str = include_str!("../shaders/units.wgsl");

impl Shader {
    /// The whole text: preludes, then the kernel.
    #[must_use]
    pub fn source(self) -> String {
        match self {
            Self::Add => include_str!("../shaders/add.wgsl").into(),
            Self::BackwardInput => [CHANNELS, RUNS, include_str!("../shaders/backward_input.wgsl")].concat(),
            Self::BackwardReduce => {
                [PAIRS, UNITS, SUMS, REDUCE, include_str!("../shaders/backward_reduce.wgsl")].concat()
            }
            Self::CopyRows => include_str!("../shaders/copy_rows.wgsl").into(),
            Self::EvaluationStatistics => include_str!("../shaders/evaluation_statistics.wgsl").into(),
            Self::Fill => include_str!("../shaders/fill.wgsl").into(),
            Self::MergeMoments => [PAIRS, MERGE, MERGE_LANES, include_str!("../shaders/merge_moments.wgsl")].concat(),
            Self::MergeSums => [PAIRS, MERGE, MERGE_LANES, include_str!("../shaders/merge_sums.wgsl")].concat(),
            Self::Moments => [PAIRS, UNITS, SUMS, REDUCE, include_str!("../shaders/moments.wgsl")].concat(),
            Self::Normalize => [CHANNELS, RUNS, include_str!("../shaders/normalize.wgsl")].concat(),
            Self::Permute => include_str!("../shaders/permute.wgsl").into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shader_is_valid() {
        for shader in SHADERS {
            let module = naga::front::wgsl::parse_str(&shader.source())
                .unwrap_or_else(|error| panic!("{shader:?}: {}", error.emit_to_string(&shader.source())));
            let mut validator =
                naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty());
            validator
                .validate(&module)
                .unwrap_or_else(|error| panic!("{shader:?}: {}", error.emit_to_string(&shader.source())));
        }
    }
}
