//! What can go wrong on a GPU device.

use syncbn_core::KernelError;

/// A device could not be made, or a command could not be carried out.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GpuError {
    /// The platform has no adapter to offer.
    #[error("no WebGPU adapter: {message}")]
    NoAdapter {
        /// What the platform says.
        message: String,
    },
    /// The adapter refuses to make a device.
    #[error("the WebGPU adapter makes no device: {message}")]
    NoDevice {
        /// What the platform says.
        message: String,
    },
    /// The adapter has less of something than is asked for.
    #[error("expected {what} of at most {granted}, which the adapter grants, got {wanted}")]
    Limit {
        /// Which limit.
        what: &'static str,
        /// What was asked for.
        wanted: u64,
        /// What there is.
        granted: u64,
    },
    /// The device is gone, and with it all its buffers.
    #[error("the WebGPU device was lost ({reason}): {message}")]
    Lost {
        /// `destroyed` or `unknown`.
        reason: &'static str,
        /// What the platform says.
        message: String,
    },
    /// The platform refused a command.
    #[error("WebGPU validation: {message}")]
    Validation {
        /// What the platform says.
        message: String,
    },
    /// The adapter has no memory left.
    #[error("the WebGPU adapter is out of memory: {message}")]
    AdapterOutOfMemory {
        /// What the platform says.
        message: String,
    },
    /// A buffer would exceed the limit set for the device.
    #[error("no room for a buffer of {bytes_wanted} bytes beside {bytes_in_use} bytes in use")]
    OutOfMemory {
        /// Bytes of the buffer.
        bytes_wanted: u64,
        /// Bytes of all others.
        bytes_in_use: u64,
    },
    /// No buffer has this handle.
    #[error("expected the handle of a buffer in use, got {handle}")]
    UnknownBuffer {
        /// The handle given.
        handle: u32,
    },
    /// A command would write to a buffer that somebody else owns.
    #[error("expected memory of this library to write to, got a buffer that was adopted, which is only read")]
    NotOwned {
        /// The handle given.
        handle: u32,
    },
    /// Partials of more values than a GPU counts.
    #[error("expected partials of at most {most} values per channel, which a WebGPU device can count, got {values}")]
    TooManyValues {
        /// Values of a channel.
        values: u64,
        /// What 32 bits hold.
        most: u64,
    },
    /// The arguments are refused, or bytes are no partials.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}
