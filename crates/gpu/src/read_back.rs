//! What is read back: copied to a mappable buffer within the same submit, and mapped at once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll, Waker};

use crate::context::{Context, Failures};
use crate::dispatch::Piece;
use crate::error::GpuError;

/// The smallest mappable buffer.
const SMALLEST: u64 = 4096;

/// Mappable buffers, kept for reuse.
#[derive(Debug, Default)]
pub(crate) struct Staging {
    pool: Rc<RefCell<Pool>>,
}

#[derive(Debug, Default)]
struct Pool {
    free: HashMap<u64, Vec<wgpu::Buffer>>,
    /// Bytes of all buffers, those being read included.
    bytes: u64,
    /// Buffers taken from the platform since the beginning.
    allocations: usize,
    /// Nothing is kept any more.
    is_closed: bool,
}

impl Pool {
    fn take(&mut self, device: &wgpu::Device, bytes: u64) -> wgpu::Buffer {
        let size = bytes.next_power_of_two().max(SMALLEST);
        if let Some(buffer) = self.free.get_mut(&size).and_then(Vec::pop) {
            return buffer;
        }
        self.bytes += size;
        self.allocations += 1;
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    /// A buffer that could not be mapped, or that nobody has waited for, is worth nothing.
    fn give_back(&mut self, buffer: &wgpu::Buffer, is_unmapped: bool) {
        if is_unmapped && !self.is_closed {
            self.free.entry(buffer.size()).or_default().push(buffer.clone());
        } else {
            self.destroy(buffer);
        }
    }

    fn destroy(&mut self, buffer: &wgpu::Buffer) {
        self.bytes -= buffer.size();
        buffer.destroy();
    }
}

impl Staging {
    /// Bytes of all buffers, those being read included.
    pub(crate) fn bytes(&self) -> u64 {
        self.pool.borrow().bytes
    }

    /// Buffers taken from the platform since the beginning.
    pub(crate) fn allocations(&self) -> usize {
        self.pool.borrow().allocations
    }

    /// Has the pieces, which are not all empty, copied end to end.
    pub(crate) fn copy(&self, context: &Context, encoder: &mut wgpu::CommandEncoder, pieces: &[Piece]) -> Copied {
        let bytes: u64 = pieces.iter().map(|piece| piece.bytes).sum();
        let buffer = self.pool.borrow_mut().take(&context.device, bytes);
        let mut begin = 0;
        for piece in pieces.iter().filter(|piece| piece.bytes > 0) {
            encoder.copy_buffer_to_buffer(&piece.buffer, piece.begin, &buffer, begin, piece.bytes);
            begin += piece.bytes;
        }
        Copied { buffer, bytes, pool: Rc::clone(&self.pool) }
    }

    /// Destroys all buffers; those being read follow as soon as their readers are told.
    pub(crate) fn destroy(&self) {
        let mut pool = self.pool.borrow_mut();
        pool.is_closed = true;
        let free: Vec<_> = pool.free.drain().flat_map(|(_, buffers)| buffers).collect();
        free.iter().for_each(|buffer| pool.destroy(buffer));
    }
}

/// Pieces in a mappable buffer.
#[derive(Debug)]
#[must_use]
pub(crate) struct Copied {
    buffer: wgpu::Buffer,
    bytes: u64,
    pool: Rc<RefCell<Pool>>,
}

impl Copied {
    /// Begins to map them, once the copy is submitted.
    pub(crate) fn map(self) -> Mapping {
        let Self { buffer, bytes, pool } = self;
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        buffer.slice(..bytes).map_async(wgpu::MapMode::Read, move |result| {
            let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
            state.result = Some(result.is_ok());
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
        });
        Mapping { buffer, bytes, state, pool, is_read: false }
    }
}

#[derive(Debug, Default)]
struct State {
    /// Whether the buffer could be mapped; `None` while that is not known.
    result: Option<bool>,
    waker: Option<Waker>,
}

/// A mappable buffer that is being mapped.
#[derive(Debug)]
pub(crate) struct Mapping {
    buffer: wgpu::Buffer,
    bytes: u64,
    state: Arc<Mutex<State>>,
    pool: Rc<RefCell<Pool>>,
    /// Whether the bytes have been taken and the buffer is unmapped again.
    is_read: bool,
}

/// Where the bytes of a [`ReadBack`] come from.
#[derive(Debug)]
enum Source {
    /// A command that has not been given to the platform yet.
    Command(Option<Waker>),
    /// `None`: nothing was asked for, or the device is gone.
    Mapping(Option<Mapping>),
}

/// What a command that waits owes to a reader.
#[derive(Debug)]
pub(crate) struct Promise {
    source: Rc<RefCell<Source>>,
}

impl Promise {
    pub(crate) fn keep(self, mapping: Mapping) {
        self.settle(Some(mapping));
    }

    fn settle(&self, mapping: Option<Mapping>) {
        let before = self.source.replace(Source::Mapping(mapping));
        if let Source::Command(Some(waker)) = before {
            waker.wake();
        }
    }
}

/// The reader must not wait for a command that will never be given.
impl Drop for Promise {
    fn drop(&mut self) {
        if matches!(*self.source.borrow(), Source::Mapping(_)) {
            return;
        }
        self.settle(None);
    }
}

/// The bytes of pieces of buffers, once they are there. Natively somebody must poll the device.
#[derive(Debug)]
pub(crate) struct ReadBack {
    source: Rc<RefCell<Source>>,
    failures: Failures,
    /// Failures that were known when the commands were given.
    known: u64,
}

impl ReadBack {
    /// `known` is the number of failures known before.
    pub(crate) fn of(mapping: Mapping, context: &Context, known: u64) -> Self {
        Self::from_source(Source::Mapping(Some(mapping)), context, known)
    }

    pub(crate) fn empty(context: &Context, known: u64) -> Self {
        Self::from_source(Source::Mapping(None), context, known)
    }

    /// Of a command that waits, which gets the promise.
    pub(crate) fn promised(context: &Context, known: u64) -> (Promise, Self) {
        let reading = Self::from_source(Source::Command(None), context, known);
        (Promise { source: Rc::clone(&reading.source) }, reading)
    }

    fn from_source(source: Source, context: &Context, known: u64) -> Self {
        Self { source: Rc::new(RefCell::new(source)), failures: context.failures.clone(), known }
    }
}

impl Future for ReadBack {
    type Output = Result<Vec<u8>, GpuError>;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let mut source = self.source.borrow_mut();
        let mapping = match &mut *source {
            Source::Command(waker) => {
                *waker = Some(task.waker().clone());
                return Poll::Pending;
            }
            Source::Mapping(None) => {
                return Poll::Ready(self.failures.check_since(self.known).map(|()| Vec::new()));
            }
            Source::Mapping(Some(mapping)) => mapping,
        };
        let is_mapped = {
            let mut state = mapping.state.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(is_mapped) = state.result else {
                state.waker = Some(task.waker().clone());
                return Poll::Pending;
            };
            is_mapped
        };
        let bytes = if is_mapped { mapping.take_bytes() } else { None };
        *source = Source::Mapping(None);
        // What went wrong before, a validation error say, is told of here; the result would be worth nothing.
        Poll::Ready(self.failures.check_since(self.known).and_then(|()| {
            let message = String::from("a buffer could not be mapped");
            bytes.ok_or(GpuError::Lost { reason: "unknown", message })
        }))
    }
}

impl Mapping {
    fn take_bytes(&mut self) -> Option<Vec<u8>> {
        let bytes = self.buffer.slice(..self.bytes).get_mapped_range().ok()?.to_vec();
        self.buffer.unmap();
        self.is_read = true;
        Some(bytes)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        self.pool.borrow_mut().give_back(&self.buffer, self.is_read);
    }
}

/// Bytes as f32 values.
pub(crate) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect()
}
