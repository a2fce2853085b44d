//! Kernel by kernel against its twin in core, where a step as a whole does not show it.

use syncbn_core::{EpsMode, Format, Layout, Numerics, Partial, STATISTICS_ROWS};
use syncbn_gpu::{BackwardInput, Family, Gpu, Guard, Normalize, Rows};

use crate::FAMILIES;
use crate::device::{Case, cases, device, download, upload, wait};
use crate::tolerances::{GRADIENT, RUNNING, expect_near, expect_same, output};

fn case(samples: usize, channels: usize, length: usize, format: Format) -> Case {
    Case { samples, channels, length, format, mean: 0.5, std: 2.0 }
}

/// Statistics of a batch in core.
fn statistics(x: &[f32], layout: &Layout, eps: f64, mode: EpsMode) -> Vec<f32> {
    let merged = syncbn_core::moments(x, layout, 0).and_then(Partial::finish).expect("a whole batch");
    let mut statistics = vec![0.0; STATISTICS_ROWS * layout.channels()];
    syncbn_core::finalize(&merged, syncbn_core::Eps { value: eps, mode }, &mut statistics).expect("lengths fit");
    statistics
}

#[test]
#[allow(clippy::cast_possible_truncation, reason = "compared in single precision")]
fn partials_of_the_device_merge_with_those_of_core() {
    for family in FAMILIES {
        let mut gpu = device(family);
        for case in cases().into_iter().filter(|case| case.samples > 1) {
            let (layout, x) = (case.layout(), case.values(1, case.mean, case.std));
            let cut = case.samples / 3;
            let (first, second) = x.split_at(cut * case.channels * case.length);
            let [left, right] = [cut, case.samples - cut].map(|samples| Case { samples, ..case }.layout());
            let handle = upload(&mut gpu, second);
            let reading = gpu.moments(handle, &right, cut as u64).expect("valid");
            let mut bytes = syncbn_core::moments(first, &left, 0).expect("lengths fit").to_bytes();
            bytes.extend(wait(&gpu, reading));
            let mixed = Partial::merge_bytes(&bytes).and_then(Partial::finish).expect("adjacent partials");
            let whole = syncbn_core::moments(&x, &layout, 0).and_then(Partial::finish).expect("a whole batch");
            let rounded = |values: &[f64]| values.iter().map(|value| *value as f32).collect::<Vec<_>>();
            let name = format!("{family:?} {case:?}");
            expect_near(&name, &rounded(&mixed.values), &rounded(&whole.values), RUNNING);
            gpu.release(handle).expect("a buffer in use");
        }
    }
}

#[test]
fn values_that_mislead_the_first_centre_are_looked_at_again() {
    for family in FAMILIES {
        let mut gpu = device(family);
        for format in [Format::Contiguous, Format::ChannelsLast] {
            let case = case(1, 1, 4096, format);
            let (layout, mut x) = (case.layout(), case.values(1, 0.0, 1e-3));
            // Where the centre is taken from.
            for quarter in x.chunks_exact_mut(if format == Format::Contiguous { 1024 } else { 64 }) {
                quarter[..4].fill(1.0);
            }
            let handle = upload(&mut gpu, &x);
            let moments = gpu.moments(handle, &layout, 0).expect("valid");
            let moments = Partial::from_bytes(&wait(&gpu, moments)).and_then(Partial::finish).expect("a whole batch");
            let expected = syncbn_core::moments(&x, &layout, 0).and_then(Partial::finish).expect("a whole batch");
            for (actual, expected) in moments.values.iter().zip(&expected.values) {
                assert!((actual / expected - 1.0).abs() < 1e-6, "{family:?} {format:?}: {expected}, got {actual}");
            }
        }
    }
}

#[test]
fn the_low_half_of_the_mean_counts() {
    let mut gpu = device(Family::Chunked);
    let case = case(2, 3, 8, Format::Contiguous);
    let (layout, x) = (case.layout(), case.values(1, 0.0, 1.0));
    let rows: Vec<f32> = [[1.0; 3], [0.25; 3], [2.0; 3], [0.0; 3]].concat();
    let mut y = vec![0.0; x.len()];
    let affine = syncbn_core::Affine::default();
    syncbn_core::normalize(Some(&x), &mut y, &layout, Numerics::Stable, &rows, &affine).expect("lengths fit");
    let [x, statistics] = [x, rows].map(|values| upload(&mut gpu, &values));
    gpu.normalize(&Normalize { x, y: x, layout, statistics, weight: 0, bias: 0 }).expect("valid");
    expect_near("y", &download(&mut gpu, x), &y, output(1.0, 1.0));
}

#[test]
fn evaluation_normalizes_and_scales_gradients_with_the_running_statistics() {
    let mut gpu = device(Family::Chunked);
    for case in
        [case(3, 5, 7, Format::Contiguous), case(2, 8, 12, Format::ChannelsLast), case(2, 3, 8, Format::Contiguous)]
    {
        let layout = case.layout();
        let [mean, var, weight] = [7, 8, 9].map(|seed| Case { samples: 1, length: 1, ..case }.values(seed, 3.0, 0.2));
        let (x, dy) = (case.values(1, 0.5, 2.0), case.values(2, 0.0, 1.0));
        let mut rows = vec![0.0; STATISTICS_ROWS * case.channels];
        syncbn_core::evaluation_statistics(&mean, &var, Numerics::Stable, 1e-3, &mut rows).expect("lengths fit");
        let [mut y, mut dx] = [(); 2].map(|()| vec![0.0; x.len()]);
        let affine = syncbn_core::Affine { weight: Some(&weight), bias: None };
        syncbn_core::normalize(Some(&x), &mut y, &layout, Numerics::Stable, &rows, &affine).expect("lengths fit");
        syncbn_core::backward_input(Some(&dy), &x, &mut dx, &layout, &rows, Some(&weight), None).expect("lengths fit");
        let [mean, var, weight, x, dy] = [mean, var, weight, x, dy].map(|values| upload(&mut gpu, &values));
        let [out, statistics] = [layout.elements(), rows.len()].map(|length| gpu.allocate(length).expect("room"));
        gpu.evaluation_statistics(mean, var, 1e-3, statistics).expect("valid");
        gpu.normalize(&Normalize { x, y: out, layout, statistics, weight, bias: 0 }).expect("valid");
        expect_near("y", &download(&mut gpu, out), &y, output(3.0, 0.2));
        gpu.backward_input(&BackwardInput { x, dy, dx: out, layout, statistics, weight }, None, None).expect("valid");
        expect_near("dx", &download(&mut gpu, out), &dx, GRADIENT);
    }
}

#[test]
fn a_variance_below_eps_is_clamped_and_nothing_flows_through_it() {
    let mut gpu = device(Family::Chunked);
    let case = case(4, 6, 5, Format::Contiguous);
    let layout = case.layout();
    let scale = |channel: usize| if channel.is_multiple_of(2) { 1e-3 } else { 1.0 };
    let x: Vec<f32> =
        case.values(1, 0.0, 1.0).iter().enumerate().map(|(i, x)| x * scale(i / case.length % case.channels)).collect();
    let dy = case.values(2, 0.3, 1.0);
    let eps = 1e-2;
    let rows = statistics(&x, &layout, eps, EpsMode::Clamp);
    let sums = syncbn_core::backward_reduce(&dy, &x, &rows, &layout, 0).and_then(Partial::finish).expect("a batch");
    let sums = syncbn_core::BatchSums { merged: &sums, clamp_eps: Some(eps) };
    let mut dx = vec![0.0; x.len()];
    syncbn_core::backward_input(Some(&dy), &x, &mut dx, &layout, &rows, None, Some(sums)).expect("lengths fit");
    let [x, dy] = [x, dy].map(|values| upload(&mut gpu, &values));
    let [out, statistics] = [layout.elements(), rows.len()].map(|length| gpu.allocate(length).expect("room"));
    let moments = gpu.moments(x, &layout, 0).expect("valid");
    let moments = wait(&gpu, moments);
    gpu.finalize(&moments, Guard { eps, clamps: true }, statistics).expect("valid");
    let sums = gpu.backward_reduce(dy, x, statistics, &layout, 0).expect("valid");
    let sums = wait(&gpu, sums);
    let args = BackwardInput { x, dy, dx: out, layout, statistics, weight: 0 };
    gpu.backward_input(&args, Some(&sums), Some(eps)).expect("valid");
    expect_near("dx", &download(&mut gpu, out), &dx, GRADIENT);
}

#[test]
fn an_infinite_value_stays_in_its_channel() {
    for family in FAMILIES {
        let mut gpu = device(family);
        for case in [case(2, 3, 40, Format::Contiguous), case(2, 3, 40, Format::ChannelsLast)] {
            let layout = case.layout();
            let mut x = case.values(1, 0.0, 1.0);
            let place = if case.format == Format::Contiguous { 3 * 40 + 17 } else { 17 * 3 };
            x[place] = f32::INFINITY;
            let handle = upload(&mut gpu, &x);
            let statistics = gpu.allocate(STATISTICS_ROWS * 3).expect("room");
            let moments = gpu.moments(handle, &layout, 0).expect("valid");
            let moments = wait(&gpu, moments);
            gpu.finalize(&moments, Guard { eps: 1e-5, clamps: false }, statistics).expect("valid");
            let is_finite: Vec<bool> =
                download(&mut gpu, statistics)[..3].iter().map(|mean| mean.is_finite()).collect();
            assert_eq!(is_finite, [false, true, true], "{family:?} {case:?}");
        }
    }
}

#[test]
fn a_variance_that_is_not_a_number_is_not_clamped() {
    let mut gpu = device(Family::Chunked);
    let case = case(2, 2, 40, Format::Contiguous);
    let mut x = case.values(1, 0.0, 1.0);
    x[17] = f32::NAN;
    let handle = upload(&mut gpu, &x);
    let statistics = gpu.allocate(STATISTICS_ROWS * 2).expect("room");
    let moments = gpu.moments(handle, &case.layout(), 0).expect("valid");
    let moments = wait(&gpu, moments);
    gpu.finalize(&moments, Guard { eps: 1e-5, clamps: true }, statistics).expect("valid");
    let invstd = &download(&mut gpu, statistics)[4..6];
    assert!(invstd[0].is_nan() && invstd[1].is_finite(), "{invstd:?}");
}

#[test]
fn tensors_are_filled_added_permuted_and_copied() {
    let mut gpu = device(Family::Chunked);
    for (samples, channels, length) in [(2, 3, 5), (1, 16, 16), (3, 17, 33), (2, 40, 1)] {
        let case = case(samples, channels, length, Format::Contiguous);
        let (layout, a, b) = (case.layout(), case.values(1, 0.0, 1.0), case.values(2, 0.0, 1.0));
        let mut expected = vec![0.0; a.len()];
        let [x, y, z] = [&a, &b, &a].map(|values| upload(&mut gpu, values));
        syncbn_core::add(&a, &b, &mut expected).expect("lengths fit");
        gpu.add(x, y, z).expect("valid");
        expect_same("sum", &download(&mut gpu, z), &expected);
        gpu.add(x, z, z).expect("valid");
        syncbn_core::add_in_place(&mut expected, &a).expect("lengths fit");
        expect_same("sum in place", &download(&mut gpu, z), &expected);
        gpu.add(z, z, z).expect("valid");
        syncbn_core::double(&mut expected);
        expect_same("double", &download(&mut gpu, z), &expected);
        syncbn_core::permute(&a, &mut expected, &layout).expect("lengths fit");
        gpu.permute(x, z, &layout).expect("valid");
        expect_same("permuted", &download(&mut gpu, z), &expected);
        gpu.fill(z, 0.25).expect("valid");
        expect_same("filled", &download(&mut gpu, z), &vec![0.25; a.len()]);
        copy_a_column(&mut gpu, [x, z], &a, channels * length, samples);
    }
}

/// Copies the last value of each sample to the first place of each.
fn copy_a_column(gpu: &mut Gpu, [source, target]: [u32; 2], values: &[f32], stride: usize, samples: usize) {
    let rows = |buffer, offset| Rows { buffer, offset, stride };
    gpu.copy_rows(rows(source, stride - 1), rows(target, 0), 1, samples).expect("valid");
    let copied = download(gpu, target);
    for sample in 0..samples {
        assert_eq!(copied[sample * stride].to_bits(), values[(sample + 1) * stride - 1].to_bits());
    }
}
