//! Devices and buffers that the page has made by itself. wgpu has no call to adopt them.
//!
//! wgpu is given a stand-in for the device: an object that passes calls on to the device and keeps for itself what wgpu sets on it.
//! So the device of the owner is not changed, and may be frozen. The stand-in comes in through the front door: while wgpu looks for
//! the platform, `navigator.gpu` is one whose only adapter hands it out. A buffer comes in as the answer of a second stand-in,
//! whose `createBuffer` returns it. Both lean on how wgpu 30.0.1 calls the platform.

use js_sys::{Function, Object, Promise, Reflect};
use syncbn_gpu::{Gpu, GpuError, Options};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

use crate::error::CallError;

/// What wgpu asks of a device.
const PROPERTIES: [&str; 5] = ["features", "limits", "queue", "lost", "adapterInfo"];
const METHODS: [&str; 10] = [
    "createBuffer",
    "createShaderModule",
    "createBindGroupLayout",
    "createPipelineLayout",
    "createComputePipeline",
    "createBindGroup",
    "createCommandEncoder",
    "pushErrorScope",
    "popErrorScope",
    "destroy",
];
/// Where wgpu puts whom it wants to be told of errors.
const HANDLER: &str = "onuncapturederror";
const ERROR_EVENT: &str = "uncapturederror";

/// A device that somebody else owns.
#[derive(Debug)]
pub(crate) struct AdoptedDevice {
    pub(crate) device: JsValue,
    /// Who is told of errors, beside those that the owner tells.
    listener: JsValue,
}

impl AdoptedDevice {
    /// A device of ours on one that exists.
    pub(crate) async fn open(device: JsValue) -> Result<(Gpu, Self), GpuError> {
        let stand_in = stand_in_for(&device);
        let gpu = Gpu::request(&instance_with(&device, &stand_in)?, &Options::default()).await?;
        let listener = property(&stand_in, HANDLER);
        let adopted = Self { device, listener };
        adopted.call("addEventListener");
        Ok((gpu, adopted))
    }

    /// Leaves the device as it was found.
    pub(crate) fn leave(&self) {
        self.call("removeEventListener");
    }

    fn call(&self, method: &str) {
        if let Some(method) = property(&self.device, method).dyn_ref::<Function>() {
            // A platform whose devices are no targets of events tells of no errors.
            let _ = method.call2(&self.device, &ERROR_EVENT.into(), &self.listener);
        }
    }
}

/// Makes buffers of wgpu of buffers that exist, on whatever device.
#[wasm_bindgen]
#[derive(Debug)]
pub struct BufferAdopter {
    device: wgpu::Device,
    stand_in: JsValue,
}

#[wasm_bindgen]
#[allow(clippy::missing_errors_doc, reason = "every call fails alike: see the crate")]
impl BufferAdopter {
    /// One is enough for all devices.
    pub async fn create() -> Result<BufferAdopter, CallError> {
        let stand_in = JsValue::from(Object::new());
        set(&stand_in, "lost", &Promise::new(&mut |_, _| {}));
        set(&stand_in, "queue", &Object::new());
        let instance = instance_with(&stand_in, &stand_in)?;
        let adapter = instance
            .request_adapter(&wgpu::RequestAdapterOptions::default())
            .await
            .map_err(|error| GpuError::NoAdapter { message: error.to_string() })?;
        let (device, _) = adapter
            .request_device(&wgpu::DeviceDescriptor::default())
            .await
            .map_err(|error| GpuError::NoDevice { message: error.to_string() })?;
        Ok(Self { device, stand_in })
    }
}

impl BufferAdopter {
    /// A buffer of wgpu that is one that exists; its size and usage must be those given.
    pub(crate) fn adopt(&self, buffer: &JsValue, size: u64, usage: u32) -> wgpu::Buffer {
        let buffer = buffer.clone();
        set(&self.stand_in, "createBuffer", &Closure::once_into_js(move |_descriptor: JsValue| buffer));
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage: wgpu::BufferUsages::from_bits_truncate(usage),
            mapped_at_creation: false,
        })
    }
}

/// An object that passes on what wgpu asks of a device.
fn stand_in_for(device: &JsValue) -> JsValue {
    let stand_in = JsValue::from(Object::new());
    for name in PROPERTIES {
        set(&stand_in, name, &property(device, name));
    }
    for name in METHODS {
        if let Some(method) = property(device, name).dyn_ref::<Function>() {
            set(&stand_in, name, &method.bind0(device));
        }
    }
    stand_in
}

/// What wgpu finds on a platform whose only device is `stand_in`, which has the features and limits of `device`.
fn instance_with(device: &JsValue, stand_in: &JsValue) -> Result<wgpu::Instance, GpuError> {
    with_platform(&platform_of(device, stand_in), syncbn_gpu::instance)
        .map_err(|_| GpuError::NoAdapter { message: String::from("navigator.gpu cannot be replaced") })
}

/// What `navigator.gpu` would be on a platform that has this device only.
fn platform_of(device: &JsValue, stand_in: &JsValue) -> JsValue {
    let adapter = Object::new();
    set(&adapter, "features", &property(device, "features"));
    set(&adapter, "limits", &property(device, "limits"));
    let info = property(device, "adapterInfo");
    set(&adapter, "info", &if info.is_undefined() { unknown_adapter() } else { info });
    let stand_in = stand_in.clone();
    set(&adapter, "requestDevice", &Closure::once_into_js(move |_descriptor: JsValue| Promise::resolve(&stand_in)));
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

fn property(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

/// Setting a property of a fresh object cannot fail.
fn set(object: &JsValue, name: &str, value: &JsValue) {
    let _ = Reflect::set(object, &name.into(), value);
}
