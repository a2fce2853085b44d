//! Errors on their way to JavaScript: an `Error` whose `kind` and numbers are properties.

use js_sys::{Error, Reflect};
use syncbn_core::KernelError;
use wasm_bindgen::JsValue;

use crate::arena::ArenaError;

/// Everything a call can fail with.
#[derive(Debug, Clone, PartialEq)]
pub enum CallError {
    /// There is no such buffer, or no room for it.
    Arena(ArenaError),
    /// The kernel refuses its arguments.
    Kernel(KernelError),
}

impl From<ArenaError> for CallError {
    fn from(error: ArenaError) -> Self {
        Self::Arena(error)
    }
}

impl From<KernelError> for CallError {
    fn from(error: KernelError) -> Self {
        Self::Kernel(error)
    }
}

impl From<CallError> for JsValue {
    #[cold]
    #[inline(never)]
    fn from(error: CallError) -> Self {
        match error {
            CallError::Arena(ArenaError::OutOfMemory { bytes_wanted, bytes_in_use }) => {
                let fields = [("bytesWanted", bytes_wanted), ("bytesInUse", bytes_in_use)];
                to_js("out_of_memory", "no room for the buffer", &fields)
            }
            CallError::Arena(ArenaError::UnknownBuffer { handle }) => {
                let text = "expected the handle of a buffer that this call does not write already";
                to_js("unknown_buffer", text, &[("handle", f64::from(handle))])
            }
            CallError::Kernel(error) => {
                let is_partial = matches!(
                    error,
                    KernelError::Damaged { .. }
                        | KernelError::Kind { .. }
                        | KernelError::Mismatch { .. }
                        | KernelError::Gap { .. }
                );
                to_js(if is_partial { "partial" } else { "argument" }, &error.to_string(), &[])
            }
        }
    }
}

#[inline(never)]
fn to_js(kind: &str, message: &str, fields: &[(&str, f64)]) -> JsValue {
    let error = JsValue::from(Error::new(message));
    // Setting a property of a fresh Error cannot fail; if it did, the message would still arrive.
    let _ = Reflect::set(&error, &"kind".into(), &kind.into());
    for (name, value) in fields {
        let _ = Reflect::set(&error, &(*name).into(), &(*value).into());
    }
    error
}
