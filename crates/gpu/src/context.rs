//! A device of an adapter, and what has gone wrong on it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::GpuError;

/// What is asked of an adapter.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Name of the device in tools of the platform.
    pub label: String,
    /// Which of several adapters.
    pub power_preference: wgpu::PowerPreference,
    /// Whether a software adapter is wanted.
    pub fallback: bool,
    /// Bytes of the largest buffer that will be needed; 0: whatever the adapter grants.
    pub largest_buffer: u64,
}

/// The way to the adapters of the platform, which is looked up now.
#[must_use]
pub fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::BROWSER_WEBGPU | wgpu::Backends::VULKAN;
    wgpu::Instance::new(descriptor)
}

/// What is known of an adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// What the platform calls it.
    pub name: String,
    /// Whether it computes on the CPU.
    pub is_software: bool,
}

impl Description {
    fn of(info: &wgpu::AdapterInfo) -> Self {
        let words = [&info.name, &info.driver, &info.driver_info].map(|word| word.trim());
        let name = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        let lower = name.to_lowercase();
        let is_software = info.device_type == wgpu::DeviceType::Cpu
            || ["swiftshader", "llvmpipe", "lavapipe", "basic render"].iter().any(|word| lower.contains(word));
        Self { name, is_software }
    }
}

/// A device and its queue.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    pub(crate) description: Description,
    pub(crate) failures: Failures,
}

impl Context {
    /// A device of an adapter of its own: an adapter is spent by its first device.
    pub(crate) async fn request(instance: &wgpu::Instance, options: &Options) -> Result<Self, GpuError> {
        let adapter_options = wgpu::RequestAdapterOptions {
            power_preference: options.power_preference,
            force_fallback_adapter: options.fallback,
            ..Default::default()
        };
        let adapter = instance
            .request_adapter(&adapter_options)
            .await
            .map_err(|error| GpuError::NoAdapter { message: error.to_string() })?;
        let limits = adapter.limits();
        let granted = limits.max_buffer_size.min(limits.max_storage_buffer_binding_size);
        if options.largest_buffer > granted {
            return Err(GpuError::Limit { what: "a largest buffer", wanted: options.largest_buffer, granted });
        }
        let device_descriptor = wgpu::DeviceDescriptor {
            label: Some(&options.label),
            required_limits: limits,
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) = adapter
            .request_device(&device_descriptor)
            .await
            .map_err(|error| GpuError::NoDevice { message: error.to_string() })?;
        let failures = Failures::of(&device);
        Ok(Self { device, queue, description: Description::of(&adapter.get_info()), failures })
    }
}

/// What the platform has reported. It does so later than it answers a command, so what is under way may be spoiled by it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failures {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    lost: Option<GpuError>,
    /// The first that was reported since somebody was told, and how many such there have been. Those that follow an untold one
    /// mostly follow from it.
    first: Option<GpuError>,
    count: u64,
    /// How many of these somebody has been told of.
    told: u64,
    /// Whether the platform has had no room since somebody asked.
    lacked_memory: bool,
}

impl State {
    fn report(&mut self, error: GpuError) {
        self.lacked_memory |= matches!(error, GpuError::AdapterOutOfMemory { .. });
        if self.told == self.count {
            self.count += 1;
            self.first = Some(error);
        }
    }

    /// Tells of a loss, or of what was reported when `known` failures were known.
    fn tell_after(&mut self, known: u64) -> Result<(), GpuError> {
        let is_new = self.count > known;
        if is_new {
            self.told = self.count;
        }
        self.lost.as_ref().or(self.first.as_ref().filter(|_| is_new)).map_or(Ok(()), |error| Err(error.clone()))
    }
}

impl Failures {
    fn of(device: &wgpu::Device) -> Self {
        let failures = Self::default();
        let state = Arc::clone(&failures.state);
        device.on_uncaptured_error(Arc::new(move |error| {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.report(reported(error));
        }));
        let state = Arc::clone(&failures.state);
        device.set_device_lost_callback(move |reason, message| {
            let reason = if reason == wgpu::DeviceLostReason::Destroyed { "destroyed" } else { "unknown" };
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.lost.get_or_insert(GpuError::Lost { reason, message });
        });
        failures
    }

    /// The device has been destroyed by its owner; the platform says so later.
    pub(crate) fn destroyed(&self) {
        let message = String::from("it was destroyed");
        self.state().lost.get_or_insert(GpuError::Lost { reason: "destroyed", message });
    }

    /// Before a command: tells of a loss each time, of anything else if nobody has been told. Returns how many failures are
    /// known.
    pub(crate) fn check(&self) -> Result<u64, GpuError> {
        let mut state = self.state();
        let told = state.told;
        state.tell_after(told).map(|()| state.count)
    }

    /// After a command: tells everyone who asks of what has been reported since so many failures were known.
    pub(crate) fn check_since(&self, known: u64) -> Result<(), GpuError> {
        self.state().tell_after(known)
    }

    /// Tells of a loss.
    pub(crate) fn check_lost(&self) -> Result<(), GpuError> {
        self.state().lost.clone().map_or(Ok(()), Err)
    }

    /// Whether the platform has reported since the last call that it had no room for some buffer.
    pub(crate) fn take_lacked_memory(&self) -> bool {
        std::mem::take(&mut self.state().lacked_memory)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn reported(error: wgpu::Error) -> GpuError {
    match error {
        wgpu::Error::OutOfMemory { source } => GpuError::AdapterOutOfMemory { message: source.to_string() },
        wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
            GpuError::Validation { message: description }
        }
    }
}
