//! Devices and buffers that the page has made by itself. wgpu has no call to adopt them.
//!
//! A device comes in through the front door: while wgpu looks for the platform, `navigator.gpu` is one whose only adapter hands
//! the device out. A buffer comes in through `createBuffer`, which for one call is a property of the device itself. Both lean on
//! how wgpu 30.0.1 calls the platform.

use js_sys::{Object, Promise, Reflect};
use syncbn_gpu::{Gpu, GpuError, Options};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};

/// A device of ours on one that exists.
pub(crate) async fn adopt_device(device: JsValue) -> Result<Gpu, GpuError> {
    let instance = with_platform(&platform_of(&device), syncbn_gpu::instance)
        .map_err(|_| GpuError::NoAdapter { message: String::from("navigator.gpu cannot be replaced") })?;
    Gpu::request(&instance, &Options::default()).await
}

/// A buffer of wgpu that is one that exists; its size and usage must be those given.
pub(crate) fn adopt_buffer(gpu: &Gpu, buffer: &JsValue, size: u64, usage: u32) -> Result<wgpu::Buffer, JsValue> {
    let device: &JsValue = gpu.device().as_webgpu().ok_or(JsValue::UNDEFINED)?.as_ref();
    let name = JsValue::from("createBuffer");
    let buffer = buffer.clone();
    let create = Closure::once_into_js(move |_descriptor: JsValue| buffer);
    Reflect::set(device, &name, &create)?;
    let adopted = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size,
        usage: wgpu::BufferUsages::from_bits_truncate(usage),
        mapped_at_creation: false,
    });
    // The platform's own is on the prototype.
    Reflect::delete_property(device.unchecked_ref::<Object>(), &name)?;
    Ok(adopted)
}

/// What `navigator.gpu` would be on a platform that has this device only.
fn platform_of(device: &JsValue) -> JsValue {
    let adapter = Object::new();
    let property = |name: &str| Reflect::get(device, &name.into()).unwrap_or(JsValue::UNDEFINED);
    set(&adapter, "features", &property("features"));
    set(&adapter, "limits", &property("limits"));
    let info = property("adapterInfo");
    set(&adapter, "info", &if info.is_undefined() { unknown_adapter() } else { info });
    let device = device.clone();
    set(&adapter, "requestDevice", &Closure::once_into_js(move |_descriptor: JsValue| Promise::resolve(&device)));
    let platform = Object::new();
    set(&platform, "requestAdapter", &Closure::once_into_js(move |_options: JsValue| Promise::resolve(&adapter)));
    platform.into()
}

/// Devices tell what adapter they are of since 2024.
fn unknown_adapter() -> JsValue {
    let info = Object::new();
    for name in ["vendor", "architecture", "device", "description"] {
        set(&info, name, &JsValue::from(""));
    }
    info.into()
}

/// Calls `look` while `navigator.gpu` is `platform`.
fn with_platform<T>(platform: &JsValue, look: impl FnOnce() -> T) -> Result<T, JsValue> {
    let navigator = Reflect::get(&js_sys::global(), &"navigator".into())?;
    let navigator: &Object = navigator.unchecked_ref();
    let name = JsValue::from("gpu");
    let own = Object::get_own_property_descriptor(navigator, &name);
    let replacement = Object::new();
    set(&replacement, "configurable", &JsValue::TRUE);
    set(&replacement, "value", platform);
    Reflect::define_property(navigator, &name, &replacement)?;
    let result = look();
    if own.is_undefined() {
        Reflect::delete_property(navigator, &name)?;
    } else {
        Reflect::define_property(navigator, &name, own.unchecked_ref())?;
    }
    Ok(result)
}

/// Setting a property of a fresh object cannot fail.
fn set(object: &Object, name: &str, value: &JsValue) {
    let _ = Reflect::set(object, &name.into(), value);
}
