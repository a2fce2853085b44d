//! What a step costs.

use syncbn_core::{Format, STATISTICS_ROWS};
use syncbn_gpu::{Family, Guard};

use crate::device::{Case, device, download, upload};
use crate::expect_same_outcome;
use crate::step::Step;
use crate::tolerances::expect_same;

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
fn a_step_in_its_steady_state_takes_no_memory_compiles_nothing_and_binds_what_was_bound() {
    let mut gpu = device(Family::Chunked);
    let step = Step::of(Case { samples: 21, channels: 5, length: 6, format: Format::Contiguous, mean: 0.0, std: 1.0 });
    let mut run = || {
        step.on_one_device(&mut gpu, false);
        step.in_shards(&mut gpu, &[4, 4, 15]);
        (gpu.usage(), gpu.pipelines(), gpu.bind_groups())
    };
    // Freed buffers take turns: it takes some steps until each has been bound wherever it comes up.
    let first = (0..15).map(|_| run()).last().expect("some runs");
    for _ in 0..5 {
        assert_eq!(run(), first);
    }
    assert_eq!((first.0.buffers, first.0.bytes_in_use), (0, 0));
}

#[test]
fn held_commands_take_one_submit_until_something_is_read() {
    let mut gpu = device(Family::Chunked);
    let step = Step::of(Case { samples: 21, channels: 5, length: 6, format: Format::Contiguous, mean: 0.0, std: 1.0 });
    let shards = [4, 4, 15];
    let expected = [step.on_one_device(&mut gpu, false), step.in_shards(&mut gpu, &shards)];
    gpu.hold();
    let held = [step.on_one_device(&mut gpu, false), step.in_shards(&mut gpu, &shards)];
    for (held, expected) in held.iter().zip(&expected) {
        expect_same_outcome("held", held, expected);
    }
    gpu.flush();
    gpu.reset_counters();
    gpu.hold();
    step.train(&mut gpu);
    assert_eq!((gpu.counters().dispatches, gpu.counters().submits), (6, 0));
    gpu.flush();
    assert_eq!(gpu.counters().submits, 1);
    step.train(&mut gpu);
    assert_eq!(gpu.counters().submits, 3);
}

#[test]
fn a_held_command_keeps_the_partials_that_it_was_given() {
    let mut gpu = device(Family::Chunked);
    let case = Case { samples: 3, channels: 2, length: 40, format: Format::Contiguous, mean: 0.0, std: 1.0 };
    let merged = [1, 2].map(|seed| {
        let x = case.values(seed, 0.0, 1.0);
        syncbn_core::moments(&x, &case.layout(), 0).expect("lengths fit").to_bytes()
    });
    let statistics = gpu.allocate(STATISTICS_ROWS * 2).expect("room");
    let guard = Guard { eps: 1e-5, clamps: false };
    gpu.finalize(&merged[0], guard, statistics).expect("valid");
    let expected = download(&mut gpu, statistics);
    gpu.hold();
    let other = gpu.allocate(STATISTICS_ROWS * 2).expect("room");
    gpu.finalize(&merged[0], guard, statistics).expect("valid");
    gpu.finalize(&merged[1], guard, other).expect("valid");
    expect_same("statistics", &download(&mut gpu, statistics), &expected);
}

#[test]
fn nothing_is_held_while_somebody_else_may_use_a_buffer() {
    let mut gpu = device(Family::Chunked);
    let [own, shared] = [(); 2].map(|()| upload(&mut gpu, &[1.0; 8]));
    gpu.hold();
    gpu.fill(own, 2.0).expect("valid");
    assert_eq!(gpu.counters().submits, 0);
    gpu.share(shared).expect("a buffer in use");
    assert_eq!(gpu.counters().submits, 1);
    gpu.fill(own, 3.0).expect("valid");
    assert_eq!(gpu.counters().submits, 2);
    gpu.release(shared).expect("a buffer in use");
    gpu.fill(own, 4.0).expect("valid");
    assert_eq!(gpu.counters().submits, 2);
    assert_eq!(download(&mut gpu, own), [4.0; 8]);
}

#[test]
fn held_commands_outlive_the_memory_that_is_given_up_for_others() {
    let mut gpu = device(Family::Chunked);
    gpu.set_memory_limit(5000);
    gpu.hold();
    let first = gpu.allocate(1000).expect("room");
    gpu.fill(first, 1.0).expect("valid");
    gpu.release(first).expect("a buffer in use");
    let second = gpu.allocate(500).expect("the first is free");
    gpu.fill(second, 2.0).expect("valid");
    assert_eq!(download(&mut gpu, second), [2.0; 500]);
    assert_eq!(gpu.usage().bytes_pooled, 0);
}

#[test]
fn freed_buffers_of_all_sizes_take_no_more_than_twice_what_was_ever_in_use() {
    for is_held in [false, true] {
        let mut gpu = device(Family::Chunked);
        for samples in (1..200_usize).map(|step| 1 + 37 * step % 199) {
            if is_held {
                gpu.hold();
            }
            let case = Case { samples, channels: 3, length: 16, format: Format::Contiguous, mean: 0.0, std: 1.0 };
            let step = Step::of(case);
            let outcome = step.on_one_device(&mut gpu, false);
            assert_eq!(outcome.y.len(), case.layout().elements());
            let usage = gpu.usage();
            assert!(usage.bytes_in_use + usage.bytes_pooled <= 2 * usage.bytes_peak, "{usage:?}");
            gpu.flush();
        }
    }
}

#[test]
fn commands_that_wait_for_pipelines_have_the_bits_of_those_that_do_not() {
    for format in [Format::Contiguous, Format::ChannelsLast] {
        let step = Step::of(Case { samples: 21, channels: 5, length: 6, format, mean: 0.0, std: 1.0 });
        let mut at_once = device(Family::Chunked);
        let expected = step.moments_and_outputs(&mut at_once, |_| {});
        let mut later = device(Family::Chunked);
        later.compile_later();
        let mut turns = 0;
        let actual = step.moments_and_outputs(&mut later, |gpu| {
            while gpu.is_waiting() {
                let before = gpu.pipelines();
                gpu.compile_next();
                assert!(gpu.pipelines() <= before + 1);
                turns += 1;
            }
        });
        assert!(turns >= 3, "{turns}");
        for (actual, expected) in actual.iter().zip(&expected) {
            expect_same("result", actual, expected);
        }
    }
}

#[test]
fn what_cannot_wait_compiles_what_it_needs() {
    let mut gpu = device(Family::Chunked);
    gpu.compile_later();
    let handle = upload(&mut gpu, &[1.0; 8]);
    gpu.add(handle, handle, handle).expect("valid");
    assert!(gpu.is_waiting());
    gpu.share(handle).expect("a buffer in use");
    assert!(!gpu.is_waiting());
    assert_eq!(download(&mut gpu, handle), [2.0; 8]);
}

#[test]
fn a_reader_of_what_waits_is_told_that_the_device_is_gone() {
    let mut gpu = device(Family::Chunked);
    gpu.compile_later();
    let handle = upload(&mut gpu, &[1.0; 8]);
    gpu.fill(handle, 2.0).expect("valid");
    let reading = gpu.read(handle).expect("valid");
    gpu.destroy();
    assert!(matches!(crate::device::outcome(&gpu, reading), Err(syncbn_gpu::GpuError::Lost { .. })));
}
