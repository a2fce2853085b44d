//! Errors on their way to JavaScript: an `Error` whose `kind` and numbers are properties.

use alloc::string::ToString;

use syncbn_core::KernelError;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::arena::ArenaError;

#[wasm_bindgen]
extern "C" {
    /// JavaScript's `Error`, seen as one that has the properties of ours.
    #[derive(Debug)]
    #[wasm_bindgen(js_name = Error)]
    type Failure;

    #[wasm_bindgen(constructor, js_class = "Error")]
    fn new(message: &str) -> Failure;

    #[wasm_bindgen(method, setter)]
    fn set_kind(this: &Failure, kind: &str);

    #[wasm_bindgen(method, setter, js_name = bytesWanted)]
    fn set_bytes_wanted(this: &Failure, bytes: f64);

    #[wasm_bindgen(method, setter, js_name = bytesInUse)]
    fn set_bytes_in_use(this: &Failure, bytes: f64);
}

/// Everything a call can fail with, already as JavaScript will see it: each call has many places that may fail, and each would
/// else carry a copy of what tells the errors apart.
#[derive(Debug)]
pub struct CallError(Failure);

impl From<ArenaError> for CallError {
    #[cold]
    #[inline(never)]
    fn from(error: ArenaError) -> Self {
        match error {
            ArenaError::OutOfMemory { bytes_wanted, bytes_in_use } => {
                let Self(failure) = failure("out_of_memory", "no room for the buffer");
                failure.set_bytes_wanted(bytes_wanted);
                failure.set_bytes_in_use(bytes_in_use);
                Self(failure)
            }
            ArenaError::UnknownBuffer { .. } => {
                failure("unknown_buffer", "expected the handle of a buffer that this call does not write already")
            }
        }
    }
}

impl From<KernelError> for CallError {
    #[cold]
    #[inline(never)]
    fn from(error: KernelError) -> Self {
        let kind = match error {
            KernelError::Length { .. } | KernelError::Shape { .. } => "argument",
            KernelError::Damaged { .. }
            | KernelError::Kind { .. }
            | KernelError::Mismatch { .. }
            | KernelError::Gap { .. } => "partial",
        };
        failure(kind, &error.to_string())
    }
}

impl From<CallError> for JsValue {
    fn from(error: CallError) -> Self {
        error.0.into()
    }
}

#[inline(never)]
fn failure(kind: &str, message: &str) -> CallError {
    let failure = Failure::new(message);
    failure.set_kind(kind);
    CallError(failure)
}
