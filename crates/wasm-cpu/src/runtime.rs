//! What std would bring, as small as it can be: an allocator, and an end for panics.
//!
//! Nobody would see the text of a panic, and the texts and what formats them weigh more than some kernels.

use core::panic::PanicInfo;

use talc::wasm::{WasmDynamicTalc, new_wasm_dynamic_allocator};

#[global_allocator]
static ALLOCATOR: WasmDynamicTalc = new_wasm_dynamic_allocator();

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
