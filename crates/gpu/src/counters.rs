//! What the commands of a device have cost, counted where they are made, so that tests and benchmarks can hold them to figures.

/// Sums since the device was made or the counters were reset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Kernels started.
    pub dispatches: u64,
    /// Command buffers submitted.
    pub submits: u64,
    /// Bytes that kernels read from buffers, nodes that merge as often as they are read; but a second look at values, which finds
    /// them cached, is not counted.
    pub bytes_read: u64,
    /// Bytes that kernels write to buffers.
    pub bytes_written: u64,
}
