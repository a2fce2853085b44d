//! What cannot be carried out is told, and nothing is lost by it.

use syncbn_core::Format;
use syncbn_gpu::{Family, Gpu, GpuError};

use crate::device::{Case, device, outcome, upload, wait};

/// Asks the platform for what it refuses.
fn provoke(gpu: &Gpu) {
    let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::MAP_WRITE;
    let _ =
        gpu.device().create_buffer(&wgpu::BufferDescriptor { label: None, size: 16, usage, mapped_at_creation: false });
}

#[test]
fn an_error_is_told_by_all_reads_that_it_may_have_spoiled_and_by_nothing_else() {
    let mut gpu = device(Family::Chunked);
    let handle = upload(&mut gpu, &[1.0; 8]);
    let readings = [(); 2].map(|()| gpu.read(handle).expect("a buffer in use"));
    provoke(&gpu);
    provoke(&gpu);
    for reading in readings {
        assert!(matches!(outcome(&gpu, reading), Err(GpuError::Validation { .. })));
    }
    let reading = gpu.read(handle).expect("the error has been told");
    assert_eq!(wait(&gpu, reading), [1.0; 8]);
}

#[test]
fn an_error_that_no_read_tells_is_told_by_the_next_command() {
    let mut gpu = device(Family::Chunked);
    let handle = upload(&mut gpu, &[1.0; 8]);
    provoke(&gpu);
    assert!(matches!(gpu.fill(handle, 0.0), Err(GpuError::Validation { .. })));
    gpu.fill(handle, 0.0).expect("the error has been told");
}

#[test]
fn a_read_that_nobody_waits_for_keeps_no_memory() {
    let mut gpu = device(Family::Chunked);
    let handle = upload(&mut gpu, &[1.0; 8]);
    drop(gpu.read(handle).expect("a buffer in use"));
    assert_eq!(gpu.usage().bytes_staged, 0);
    let reading = gpu.read(handle).expect("a buffer in use");
    assert_eq!(wait(&gpu, reading), [1.0; 8]);
    assert!(gpu.usage().bytes_staged > 0);
}

#[test]
fn a_device_that_somebody_else_owns_is_left_with_nothing_of_ours() {
    let mut gpu = device(Family::Chunked);
    let handle = upload(&mut gpu, &[1.0; 8]);
    let readings = [(); 2].map(|()| gpu.read(handle).expect("a buffer in use"));
    gpu.release_all();
    for reading in readings {
        assert!(matches!(outcome(&gpu, reading), Err(GpuError::Lost { reason: "destroyed", .. })));
    }
    assert_eq!(gpu.usage().bytes_staged, 0);
}

#[test]
fn a_buffer_beyond_the_limit_is_refused_and_nothing_is_lost() {
    let mut gpu = device(Family::Chunked);
    gpu.set_memory_limit(1 << 20);
    let handle = gpu.allocate(1 << 17).expect("room");
    let refused = gpu.allocate(1 << 18);
    assert_eq!(refused, Err(GpuError::OutOfMemory { bytes_wanted: 1 << 20, bytes_in_use: 1 << 19 }));
    gpu.release(handle).expect("a buffer in use");
    assert_eq!(gpu.release(handle), Err(GpuError::UnknownBuffer { handle }));
    gpu.allocate(1 << 18).expect("room");
    assert_eq!(gpu.usage().bytes_pooled, 0);
}

#[test]
fn a_destroyed_device_says_so_to_every_command() {
    let mut gpu = device(Family::Chunked);
    let handle = upload(&mut gpu, &[1.0; 8]);
    gpu.destroy();
    for _ in 0..2 {
        assert!(matches!(gpu.fill(handle, 0.0), Err(GpuError::Lost { reason: "destroyed", .. })));
    }
}

#[test]
fn bytes_that_are_no_partials_of_a_whole_batch_are_refused() {
    let mut gpu = device(Family::Chunked);
    let case = Case { samples: 3, channels: 2, length: 40, format: Format::Contiguous, mean: 0.0, std: 1.0 };
    let x = case.values(1, 0.0, 1.0);
    let guard = syncbn_gpu::Guard { eps: 1e-5, clamps: false };
    let statistics = gpu.allocate(8).expect("room");
    let partial = |first| syncbn_core::moments(&x, &case.layout(), first).expect("lengths fit").to_bytes();
    gpu.finalize(&[partial(0), partial(3)].concat(), guard, statistics).expect("a whole batch");
    for bytes in [vec![], vec![0; 50], partial(1), [partial(0), partial(4)].concat()] {
        assert!(matches!(gpu.finalize(&bytes, guard, statistics), Err(GpuError::Kernel(_))));
    }
    assert!(matches!(gpu.backward_parameters(&partial(0), statistics, 0, 0), Err(GpuError::Kernel(_))));
}
