//! What is read back: copied to a mappable buffer within the same submit, and mapped at once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll, Waker};

use crate::commands::Piece;
use crate::context::{Context, Failures};
use crate::error::GpuError;

/// The smallest mappable buffer.
const SMALLEST: u64 = 4096;

type Pool = Rc<RefCell<HashMap<u64, Vec<wgpu::Buffer>>>>;

/// Mappable buffers, kept for reuse.
#[derive(Debug, Default)]
pub(crate) struct Staging {
    pool: Pool,
}

impl Staging {
    /// Submits what `encoder` holds and copies of the pieces, end to end.
    pub(crate) fn read(&self, context: &Context, mut encoder: wgpu::CommandEncoder, pieces: &[Piece]) -> ReadBack {
        let bytes: u64 = pieces.iter().map(|piece| piece.bytes).sum();
        if bytes == 0 {
            context.queue.submit([encoder.finish()]);
            return ReadBack::empty(context);
        }
        let size = bytes.next_power_of_two().max(SMALLEST);
        let pooled = self.pool.borrow_mut().get_mut(&size).and_then(Vec::pop);
        let buffer = pooled.unwrap_or_else(|| {
            context.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        });
        let mut begin = 0;
        for piece in pieces.iter().filter(|piece| piece.bytes > 0) {
            encoder.copy_buffer_to_buffer(&piece.buffer, piece.begin, &buffer, begin, piece.bytes);
            begin += piece.bytes;
        }
        context.queue.submit([encoder.finish()]);
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        buffer.slice(..bytes).map_async(wgpu::MapMode::Read, move |result| {
            let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
            state.result = Some(result.is_ok());
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
        });
        let mapping = Mapping { buffer, bytes, state, pool: Rc::clone(&self.pool) };
        ReadBack { mapping: Some(mapping), failures: context.failures.clone() }
    }

    pub(crate) fn destroy(&self) {
        self.pool.borrow_mut().drain().flat_map(|(_, buffers)| buffers).for_each(|buffer| buffer.destroy());
    }
}

#[derive(Debug, Default)]
struct State {
    /// Whether the buffer could be mapped; `None` while that is not known.
    result: Option<bool>,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Mapping {
    buffer: wgpu::Buffer,
    bytes: u64,
    state: Arc<Mutex<State>>,
    pool: Pool,
}

/// The bytes of pieces of buffers, once they are there. Natively somebody must poll the device.
#[derive(Debug)]
pub(crate) struct ReadBack {
    mapping: Option<Mapping>,
    failures: Failures,
}

impl ReadBack {
    pub(crate) fn empty(context: &Context) -> Self {
        Self { mapping: None, failures: context.failures.clone() }
    }
}

impl Future for ReadBack {
    type Output = Result<Vec<u8>, GpuError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let Some(mapping) = &self.mapping else {
            return Poll::Ready(self.failures.check().map(|()| Vec::new()));
        };
        let is_mapped = {
            let mut state = mapping.state.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(is_mapped) = state.result else {
                state.waker = Some(task.waker().clone());
                return Poll::Pending;
            };
            is_mapped
        };
        let bytes = self.mapping.take().filter(|_| is_mapped).and_then(Mapping::into_bytes);
        // What went wrong before, a validation error say, is told of here; the result would be worth nothing.
        Poll::Ready(self.failures.check().and_then(|()| {
            let message = String::from("a buffer could not be mapped");
            bytes.ok_or(GpuError::Lost { reason: "unknown", message })
        }))
    }
}

impl Mapping {
    fn into_bytes(self) -> Option<Vec<u8>> {
        let bytes = self.buffer.slice(..self.bytes).get_mapped_range().ok()?.to_vec();
        self.buffer.unmap();
        self.pool.borrow_mut().entry(self.buffer.size()).or_default().push(self.buffer);
        Some(bytes)
    }
}

/// Bytes as f32 values.
pub(crate) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect()
}
