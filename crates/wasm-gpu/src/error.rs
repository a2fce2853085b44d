//! Errors on their way to JavaScript: an `Error` whose `kind` and fields are properties.

use js_sys::{Error, Reflect};
use syncbn_commands::CommandError;
use syncbn_core::KernelError;
use syncbn_gpu::GpuError;
use wasm_bindgen::JsValue;

/// What a call failed with.
#[derive(Debug)]
pub enum CallError {
    /// The device refused it.
    Gpu(GpuError),
    /// No row of the table of commands has this number.
    UnknownCommand(CommandError),
    /// The command exists on CPU devices only.
    TorchNumerics,
}

impl From<GpuError> for CallError {
    fn from(error: GpuError) -> Self {
        Self::Gpu(error)
    }
}

impl From<KernelError> for CallError {
    fn from(error: KernelError) -> Self {
        Self::Gpu(error.into())
    }
}

impl From<CommandError> for CallError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Layout(error) => error.into(),
            CommandError::Unknown { .. } => Self::UnknownCommand(error),
        }
    }
}

impl From<CallError> for JsValue {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Gpu(error) => gpu_error(&error),
            CallError::UnknownCommand(error) => to_js("argument", &error.to_string(), &[]),
            CallError::TorchNumerics => to_js("argument", TORCH_NUMERICS, &[]),
        }
    }
}

/// Layers and functions refuse it before; this is for who calls a device by itself.
const TORCH_NUMERICS: &str =
    "numerics 'torch' reproduces the results of PyTorch's CPU kernels and exists on CPU devices only";

#[allow(clippy::cast_precision_loss, reason = "bytes of buffers are below 2^53")]
fn gpu_error(error: &GpuError) -> JsValue {
    let message = error.to_string();
    match *error {
        GpuError::NoAdapter { .. } => to_js("no_adapter", &message, &[]),
        GpuError::NoDevice { .. } => to_js("no_device", &message, &[]),
        GpuError::Limit { wanted, granted, .. } => {
            to_js("limit", &message, &[("wanted", (wanted as f64).into()), ("granted", (granted as f64).into())])
        }
        GpuError::Lost { reason, .. } => to_js("lost", &message, &[("reason", reason.into())]),
        GpuError::Validation { .. } => to_js("validation", &message, &[]),
        GpuError::AdapterOutOfMemory { .. } => to_js("adapter_out_of_memory", &message, &[]),
        GpuError::OutOfMemory { bytes_wanted, bytes_in_use } => {
            let fields = [("bytesWanted", (bytes_wanted as f64).into()), ("bytesInUse", (bytes_in_use as f64).into())];
            to_js("out_of_memory", &message, &fields)
        }
        GpuError::UnknownBuffer { handle } => to_js("unknown_buffer", &message, &[("handle", handle.into())]),
        GpuError::Kernel(
            KernelError::Damaged { .. }
            | KernelError::Kind { .. }
            | KernelError::Mismatch { .. }
            | KernelError::Gap { .. },
        )
        | GpuError::TooManyValues { .. } => to_js("partial", &message, &[]),
        GpuError::Kernel(_) | GpuError::NotOwned { .. } => to_js("argument", &message, &[]),
    }
}

fn to_js(kind: &str, message: &str, fields: &[(&str, JsValue)]) -> JsValue {
    let error = JsValue::from(Error::new(message));
    // Setting a property of a fresh Error cannot fail; if it did, the message would still arrive.
    let _ = Reflect::set(&error, &"kind".into(), &kind.into());
    for (name, value) in fields {
        let _ = Reflect::set(&error, &(*name).into(), value);
    }
    error
}
