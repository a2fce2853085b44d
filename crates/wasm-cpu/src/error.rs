//! Errors on their way to JavaScript: an `Error` whose `kind` and numbers are properties.

use alloc::string::String;

use syncbn_commands::CommandError;
use syncbn_core::KernelError;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::arena::{OutOfMemory, UnknownBuffer};

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

impl From<OutOfMemory> for CallError {
    #[cold]
    fn from(error: OutOfMemory) -> Self {
        let thrown = failure("out_of_memory", "no room for the buffer");
        thrown.0.set_bytes_wanted(error.bytes_wanted);
        thrown.0.set_bytes_in_use(error.bytes_in_use);
        thrown
    }
}

impl From<UnknownBuffer> for CallError {
    #[cold]
    fn from(UnknownBuffer: UnknownBuffer) -> Self {
        failure("unknown_buffer", "expected the handle of a buffer that this call does not write already")
    }
}

impl From<CommandError> for CallError {
    #[cold]
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Layout(error) => error.into(),
            // Without the number: what formats it would be a kilobyte more for every page to load.
            CommandError::Unknown { .. } => failure("argument", "expected the number of a command"),
        }
    }
}

impl From<KernelError> for CallError {
    #[cold]
    fn from(error: KernelError) -> Self {
        let kind = match error {
            KernelError::Length { .. } | KernelError::Shape { .. } | KernelError::Samples { .. } => "argument",
            KernelError::Damaged { .. }
            | KernelError::Kind { .. }
            | KernelError::Mismatch { .. }
            | KernelError::Gap { .. } => "partial",
        };
        let mut text = String::new();
        error.describe(&mut |piece| text.push_str(piece));
        failure(kind, &text)
    }
}

impl From<CallError> for JsValue {
    fn from(error: CallError) -> Self {
        error.0.into()
    }
}

fn failure(kind: &str, message: &str) -> CallError {
    let failure = Failure::new(message);
    failure.set_kind(kind);
    CallError(failure)
}
