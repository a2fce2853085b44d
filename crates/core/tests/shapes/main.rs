//! Shapes are searched, not listed: all small ones, those around every boundary of the kernels, and random ones beyond.
//!
//! This is the quick form; `npm run search:shapes` is the long one.

mod reference;
mod search;
mod shapes;

use std::fs;
use std::path::{Path, PathBuf};

use syncbn_core::Format;
use syncbn_core::boundaries::BOUNDARIES;

use search::{KERNELS, check};
use shapes::{Random, around_boundaries, small};

/// Fails with every shape for which a kernel is wrong.
fn expect_all_right(shapes: &[[usize; 3]], random: &mut Random) {
    let formats = [Format::Contiguous, Format::ChannelsLast];
    let tried = shapes.iter().flat_map(|shape| formats.map(|format| check(*shape, format, random)));
    let wrong: Vec<String> = tried.filter_map(Result::err).collect();
    let told = wrong[..wrong.len().min(20)].join("\n");
    assert!(
        wrong.is_empty(),
        "of {} shapes × {} kernels {} are wrong:\n{told}",
        2 * shapes.len(),
        KERNELS.len(),
        wrong.len()
    );
}

#[test]
fn every_small_shape_is_right() {
    expect_all_right(&small(), &mut Random(1));
}

#[test]
fn shapes_around_every_boundary_are_right() {
    let mut random = Random(2);
    let shapes = around_boundaries(1 << 14, 500, [0, 19], &mut random);
    expect_all_right(&shapes, &mut random);
}

#[test]
fn large_shapes_around_boundaries_are_right() {
    let mut random = Random(3);
    let shapes = around_boundaries(1 << 18, 20, [0, 331], &mut random);
    expect_all_right(&shapes, &mut random);
}

/// The files of a folder and of those in it.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the sources lie here").map(|entry| entry.expect("readable").path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

#[test]
fn every_size_that_a_kernel_defines_is_a_boundary() {
    /// They are no sizes of tensors.
    const OTHER: [&str; 2] = ["STATISTICS_ROWS", "MOST_MIDDLES"];
    let mut defined = 0;
    for path in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let text = fs::read_to_string(&path).expect("text");
        for line in text.lines().filter(|line| line.contains(": usize = ")) {
            let Some((name, _)) = line.split_once("const ").and_then(|(_, rest)| rest.split_once(": usize = ")) else {
                continue;
            };
            defined += 1;
            let is_listed = BOUNDARIES.iter().any(|boundary| boundary.name == name) || OTHER.contains(&name);
            assert!(is_listed, "{name} of {} is missing in boundaries.rs", path.display());
        }
    }
    assert!(defined > BOUNDARIES.len(), "the search for constants finds them");
}
