//! What a step costs, and what happens when it cannot be carried out.

use syncbn_core::Format;
use syncbn_gpu::{Family, GpuError};

use crate::device::{Case, device, upload};
use crate::step::Step;

#[test]
fn a_training_step_takes_six_dispatches_two_submits_and_little_more_than_eight_times_its_bytes() {
    for (family, format) in [
        (Family::Coalesced, Format::Contiguous),
        (Family::Chunked, Format::Contiguous),
        (Family::Chunked, Format::ChannelsLast),
    ] {
        let mut gpu = device(family);
        let case = Case { samples: 8, channels: 64, length: 128 * 128, format, mean: 0.0, std: 1.0 };
        Step::of(case).train(&mut gpu);
        let counters = gpu.counters();
        let bytes = 4 * case.layout().elements() as u64;
        assert_eq!((counters.dispatches, counters.submits), (6, 2));
        let moved = counters.bytes_read + counters.bytes_written;
        assert!(moved >= 8 * bytes && 10 * moved <= 82 * bytes, "{moved} of {bytes} bytes");
    }
}

#[test]
fn a_step_in_its_steady_state_takes_no_memory_and_compiles_nothing() {
    let mut gpu = device(Family::Chunked);
    let step = Step::of(Case { samples: 21, channels: 5, length: 6, format: Format::Contiguous, mean: 0.0, std: 1.0 });
    let mut run = || {
        step.on_one_device(&mut gpu, false);
        step.in_shards(&mut gpu, &[4, 4, 15]);
        (gpu.usage(), gpu.pipelines())
    };
    let first = run();
    for _ in 0..5 {
        assert_eq!(run(), first);
    }
    assert_eq!((first.0.buffers, first.0.bytes_in_use), (0, 0));
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
