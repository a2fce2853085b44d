//! One CPU device as JavaScript sees it: its memory, and a call that runs any command.

use alloc::vec::Vec;

use syncbn_commands::{Command, Reduction, Words};
use syncbn_core::Partial;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::arena::{Arena, buffer_bytes};
use crate::commands::{Shared, reduce, run};
use crate::error::CallError;

/// Words of one call: of four commands, of which none has more than 32.
const MOST_WORDS: usize = 4 * 32;

/// One CPU device.
#[wasm_bindgen]
#[derive(Debug)]
pub struct CpuKernels {
    arena: Arena,
    /// The words of the next call, and its bytes, the first of these. JavaScript writes both where they lie.
    words: [f64; MOST_WORDS],
    bytes: Vec<u8>,
    /// Bytes of the latest reduction.
    partial: Vec<u8>,
}

#[wasm_bindgen]
#[allow(clippy::missing_errors_doc, reason = "every call fails alike: see the crate")]
impl CpuKernels {
    /// A device without buffers.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new() -> Self {
        Self { arena: Arena::new(), words: [0.0; MOST_WORDS], bytes: Vec::new(), partial: Vec::new() }
    }

    /// Bytes of the buffers in use, rounded to their size classes.
    #[wasm_bindgen(getter, js_name = bytesInUse)]
    #[must_use]
    pub fn bytes_in_use(&self) -> f64 {
        self.arena.bytes_in_use()
    }

    /// The most bytes that have been in use.
    #[wasm_bindgen(getter, js_name = bytesPeak)]
    #[must_use]
    pub fn bytes_peak(&self) -> f64 {
        self.arena.bytes_peak()
    }

    /// Bytes of freed buffers kept for reuse.
    #[wasm_bindgen(getter, js_name = bytesPooled)]
    #[must_use]
    pub fn bytes_pooled(&self) -> f64 {
        self.arena.bytes_pooled()
    }

    /// Buffers in use.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn buffers(&self) -> usize {
        self.arena.buffers()
    }

    /// Requests for memory that the pool could not serve, since the beginning.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn allocations(&self) -> usize {
        self.arena.allocations()
    }

    /// Sets the largest number of bytes in use.
    #[wasm_bindgen(setter, js_name = memoryLimit)]
    pub fn set_memory_limit(&mut self, bytes: f64) {
        self.arena.limit_bytes = bytes;
    }

    /// Bytes that a buffer of `length` values takes from the limit, on whichever device; none when no memory is that large.
    #[wasm_bindgen(js_name = bufferBytes)]
    #[must_use]
    pub fn buffer_bytes(&self, length: usize) -> Option<f64> {
        buffer_bytes(length)
    }

    /// A buffer of `length` values, contents undefined.
    pub fn allocate(&mut self, length: usize) -> Result<u32, CallError> {
        Ok(self.arena.allocate(length)?)
    }

    /// Gives a buffer back.
    pub fn release(&mut self, handle: u32) -> Result<(), CallError> {
        Ok(self.arena.release(handle)?)
    }

    /// Where a buffer lies in the memory of the instance, in bytes. It stays there until it is released.
    pub fn address(&self, handle: u32) -> Result<usize, CallError> {
        Ok(self.arena.get(handle)?.as_ptr().addr())
    }

    /// Where the words of the next call are to be written. It does not change.
    #[wasm_bindgen(getter, js_name = wordsAddress)]
    #[must_use]
    pub fn words_address(&self) -> usize {
        self.words.as_ptr().addr()
    }

    /// Where the bytes of the next call are to be written, of which there are so many. It changes only when there is room for fewer.
    #[wasm_bindgen(js_name = roomForBytes)]
    pub fn room_for_bytes(&mut self, count: usize) -> usize {
        if count > self.bytes.len() {
            self.bytes.resize(count, 0);
        }
        self.bytes.as_ptr().addr()
    }

    /// Runs up to four commands, one after another up to the first that fails. `numbers` holds a byte for each, beginning with the lowest: one more
    /// than the command's number. The words of all follow each other. These, and so many bytes, which all share, are those of `crates/commands`.
    pub fn run(&mut self, numbers: u32, bytes: usize) -> Result<(), CallError> {
        let Self { arena, words, .. } = self;
        let mut words = Words::new(words, self.bytes.get(..bytes).unwrap_or_default());
        let mut shared = Shared::default();
        for number in numbers.to_le_bytes().into_iter().map_while(|number| number.checked_sub(1)) {
            run(arena, Command::decode(number.into(), &mut words)?, &mut shared)?;
        }
        Ok(())
    }

    /// Runs a reduction. Returns how many bytes its partial has; they stay where [`Self::partial_address`] says until the next one.
    pub fn reduce(&mut self, number: u32, bytes: usize) -> Result<usize, CallError> {
        let mut words = Words::new(&self.words, self.bytes.get(..bytes).unwrap_or_default());
        self.partial = reduce(&self.arena, Reduction::decode(number, &mut words)?)?;
        Ok(self.partial.len())
    }

    /// Where the bytes of the latest reduction lie in the memory of the instance.
    #[wasm_bindgen(getter, js_name = partialAddress)]
    #[must_use]
    pub fn partial_address(&self) -> usize {
        self.partial.as_ptr().addr()
    }

    /// Merges partials that are laid end to end, in order of samples.
    pub fn merge(&self, partials: &[u8]) -> Result<Vec<u8>, CallError> {
        Ok(Partial::merge_bytes(partials)?.to_bytes())
    }
}

impl Default for CpuKernels {
    fn default() -> Self {
        Self::new()
    }
}
