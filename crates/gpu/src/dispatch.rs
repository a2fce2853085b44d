//! One start of a kernel: what it runs, on which buffers, with which numbers.

use crate::pipelines::Kernel;

/// Invocations of a workgroup.
pub(crate) const WORKGROUP: usize = 64;

/// What a kernel reads or writes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Binding {
    Buffer(wgpu::Buffer),
    AbsentInput,
    AbsentOutput,
}

impl Binding {
    pub(crate) fn input(buffer: Option<wgpu::Buffer>) -> Self {
        buffer.map_or(Self::AbsentInput, Self::Buffer)
    }
}

/// One start of a kernel.
#[derive(Debug, Clone)]
pub(crate) struct Dispatch {
    pub(crate) kernel: Kernel,
    /// The words of its `Params`.
    pub(crate) params: Vec<u32>,
    /// From binding 1 on.
    pub(crate) bindings: Vec<Binding>,
    pub(crate) workgroups: u64,
    pub(crate) bytes_read: u64,
    pub(crate) bytes_written: u64,
}

/// A piece of a buffer, in bytes.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) buffer: wgpu::Buffer,
    pub(crate) begin: u64,
    pub(crate) bytes: u64,
}

/// Vectors of a tensor, the last of which may be incomplete.
pub(crate) fn vectors(length: usize) -> usize {
    length.div_ceil(4)
}

/// A number of a kernel's parameters. A buffer has fewer than 2^32 values.
pub(crate) fn word(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A kernel with an invocation per vector.
pub(crate) fn flat(kernel: Kernel, params: Vec<u32>, bindings: Vec<Binding>, vectors: usize, tensors: u64) -> Dispatch {
    let bytes = 16 * vectors as u64;
    Dispatch {
        kernel,
        params,
        bindings,
        workgroups: vectors.div_ceil(WORKGROUP) as u64,
        bytes_read: tensors * bytes,
        bytes_written: bytes,
    }
}
