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

#[test]
fn a_refused_command_of_a_scope_is_told_by_the_scope_alone() {
    let mut gpu = device(Family::Chunked);
    let [lent, target, other] = [(); 3].map(|()| upload(&mut gpu, &[1.0; 8]));
    gpu.share(lent).expect("a buffer in use").destroy();
    gpu.begin_scope();
    gpu.add(lent, lent, target).expect("the platform refuses it, not we");
    let refused = gpu.end_scope();
    gpu.begin_scope();
    gpu.add(other, other, target).expect("valid");
    let accepted = gpu.end_scope();
    let reading = gpu.read(target).expect("valid");
    assert!(matches!(outcome(&gpu, refused), Err(GpuError::Validation { .. })));
    assert_eq!(outcome(&gpu, accepted), Ok(()));
    assert_eq!(wait(&gpu, reading), [2.0; 8]);
}

#[test]
fn the_scope_of_a_destroyed_device_says_so() {
    let mut gpu = device(Family::Chunked);
    let handle = upload(&mut gpu, &[1.0; 8]);
    gpu.begin_scope();
    gpu.fill(handle, 2.0).expect("valid");
    let confirmation = gpu.end_scope();
    gpu.destroy();
    assert!(matches!(outcome(&gpu, confirmation), Err(GpuError::Lost { .. })));
}

#[test]
fn a_buffer_that_was_adopted_is_read_and_never_written() {
    let mut gpu = device(Family::Chunked);
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    let buffer =
        gpu.device().create_buffer(&wgpu::BufferDescriptor { label: None, size: 64, usage, mapped_at_creation: false });
    gpu.queue().write_buffer(&buffer, 0, &[0x3f; 64]);
    let lent = gpu.adopt_buffer(buffer, 8);
    let own = gpu.allocate(8).expect("room");
    let refused = Err(GpuError::NotOwned { handle: lent });
    let layout = Case { samples: 2, channels: 2, length: 2, format: Format::Contiguous, mean: 0.0, std: 1.0 }.layout();
    assert_eq!(gpu.fill(lent, 0.0), refused);
    assert_eq!(gpu.add(own, own, lent), refused);
    assert_eq!(gpu.add(lent, own, lent), refused);
    assert_eq!(gpu.write(lent, &[0.0; 8]), refused);
    assert_eq!(gpu.permute(own, lent, &layout), refused);
    assert_eq!(gpu.evaluation_statistics(own, own, 1e-5, lent), refused);
    gpu.add(lent, lent, own).expect("it is read");
    let value = f32::from_bits(0x3f3f_3f3f);
    assert_eq!(crate::device::download(&mut gpu, own), [2.0 * value; 8]);
    assert_eq!(crate::device::download(&mut gpu, lent), [value; 8]);
}

/// A partial of moments with one node, as its header tells it.
fn partial_of(samples: u64, length: u64) -> Vec<u8> {
    let header = [1, length, 0, samples].map(u64::to_le_bytes).concat();
    let kind = syncbn_core::Kind::Moments as u32;
    [b"SBN1".to_vec(), kind.to_le_bytes().to_vec(), header, [1.0_f64, 1.0].map(f64::to_le_bytes).concat()].concat()
}

#[test]
fn partials_of_more_values_than_a_gpu_counts_are_refused_before_any_work() {
    let mut gpu = device(Family::Chunked);
    let statistics = gpu.allocate(4).expect("room");
    let guard = syncbn_gpu::Guard { eps: 1e-5, clamps: false };
    for (samples, length) in [(1 << 27, 32), (1 << 20, 1 << 31)] {
        let refused = gpu.finalize(&partial_of(samples, length), guard, statistics);
        assert!(matches!(refused, Err(GpuError::TooManyValues { .. })), "{samples} × {length}: {refused:?}");
    }
    // No batch has so many samples, whatever the device is.
    for samples in [1 << 32, 1 << 45] {
        let refused = gpu.finalize(&partial_of(samples, 32), guard, statistics);
        assert!(matches!(refused, Err(GpuError::Kernel(_))), "{samples} samples: {refused:?}");
    }
    // The largest node that can be counted.
    gpu.finalize(&partial_of(1 << 26, 32), guard, statistics).expect("fewer than 2^32 values");
    assert!((crate::device::download(&mut gpu, statistics)[0] - 1.0).abs() < 1e-6);
}

#[test]
fn partials_of_another_number_of_channels_are_refused() {
    let mut gpu = device(Family::Chunked);
    let case = Case { samples: 3, channels: 3, length: 40, format: Format::Contiguous, mean: 0.0, std: 1.0 };
    let merged = syncbn_core::moments(&case.values(1, 0.0, 1.0), &case.layout(), 0).expect("lengths fit").to_bytes();
    let guard = syncbn_gpu::Guard { eps: 1e-5, clamps: false };
    let [three, five] = [3, 5].map(|channels| gpu.allocate(4 * channels).expect("room"));
    gpu.finalize(&merged, guard, three).expect("as many");
    assert!(matches!(gpu.finalize(&merged, guard, five), Err(GpuError::Kernel(_))));
}

#[test]
fn bytes_that_cannot_be_merged_are_told_from_partials() {
    let case = Case { samples: 3, channels: 2, length: 40, format: Format::Contiguous, mean: 0.0, std: 1.0 };
    let x = case.values(1, 0.0, 1.0);
    let partial = |first| syncbn_core::moments(&x, &case.layout(), first).expect("lengths fit").to_bytes();
    assert_eq!(syncbn_gpu::check_partials(&[partial(3), partial(6)].concat()), Ok(()));
    for bytes in [vec![], vec![0; 50], [partial(0), partial(4)].concat(), [partial(0), vec![1]].concat()] {
        assert!(matches!(syncbn_gpu::check_partials(&bytes), Err(GpuError::Kernel(_))));
    }
}
