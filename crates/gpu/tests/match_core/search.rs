//! Shapes are searched, not listed: those around every boundary of the kernels, and random ones beyond, for both families, against
//! f64 and against a split. `SHAPES=5000 cargo test -p syncbn-gpu --release` is the long form. The twin for core is its
//! `tests/shapes`.

use std::fs;
use std::path::Path;

use syncbn_core::Format;
use syncbn_gpu::boundaries::boundaries;

use crate::device::{Case, device};
use crate::step::Step;
use crate::tolerances::{GRADIENT, RUNNING, output, problem, sum_of};
use crate::{FAMILIES, different, exact};

/// Shapes of the quick form.
const SHAPES: usize = 300;
/// Values of the largest tensor of the quick and of the long form.
const MOST_ELEMENTS: [usize; 2] = [1 << 12, 1 << 18];
/// How far from a boundary is near.
const NEAR: usize = 2;
/// What products of two dimensions are made of when they should come near a boundary.
const FACTORS: [usize; 9] = [1, 2, 3, 4, 5, 7, 8, 16, 33];

/// Knuth's linear congruential generator; the upper bits are the good ones.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % end.max(1) as u64).unwrap_or(0)
    }

    fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }
}

/// Every size within two of a boundary, of its half and of its double.
fn sizes(most: usize) -> Vec<usize> {
    let centres = boundaries().into_iter().flat_map(|boundary| [boundary.size / 2, boundary.size, 2 * boundary.size]);
    let mut sizes: Vec<_> =
        centres.flat_map(|centre| centre.saturating_sub(NEAR).max(1)..=centre + NEAR).chain([0]).collect();
    sizes.retain(|size| *size <= most);
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// A shape near boundaries in two of its dimensions, or one whose product of two comes near a boundary, or any.
fn shape(most: usize, sizes: &[usize], random: &mut Random) -> [usize; 3] {
    loop {
        let mut shape = match random.below(4) {
            0 => {
                let factor = random.one_of(&FACTORS);
                [random.one_of(sizes) / factor + random.below(2), factor, random.one_of(&FACTORS)]
            }
            1 => [(); 3].map(|()| 1 << random.below(12)).map(|size| size + random.below(size)),
            _ => [random.one_of(sizes), random.one_of(sizes), 1 + random.below(9)],
        };
        let turns = random.below(3);
        shape.rotate_left(turns);
        let [samples, channels, length] = shape;
        // A channel of one value has no variance.
        if channels > 0 && samples * length != 1 && samples * channels * length <= most {
            return shape;
        }
    }
}

#[test]
fn shapes_around_every_boundary_are_right() {
    let long = std::env::var("SHAPES").ok().map(|count| count.parse().expect("SHAPES is a number"));
    let most = MOST_ELEMENTS[usize::from(long.is_some())];
    let mut random = Random(1);
    let sizes = sizes(most);
    let mut gpus = FAMILIES.map(device);
    let mut wrong = Vec::new();
    for _ in 0..long.unwrap_or(SHAPES) {
        let [samples, channels, length] = shape(most, &sizes, &mut random);
        for format in [Format::Contiguous, Format::ChannelsLast] {
            let case = Case { samples, channels, length, format, mean: 0.5, std: 2.0 };
            let step = Step::of(case);
            let expected = exact::step(&step);
            let cut = random.below(case.layout().samples() + 1);
            for gpu in &mut gpus {
                let whole = step.on_one_device(gpu, random.below(2) == 1);
                let name = format!("{:?} {case:?}", gpu.family());
                wrong.extend(
                    [
                        ("y", problem(&whole.y, &expected.y, output(case.mean, case.std))),
                        ("running_mean", problem(&whole.running_mean, &expected.running_mean, RUNNING)),
                        ("running_var", problem(&whole.running_var, &expected.running_var, RUNNING)),
                        ("dx", problem(&whole.dx, &expected.dx, GRADIENT)),
                        ("dweight", problem(&whole.dweight, &expected.dweight, sum_of(samples * length))),
                        ("dbias", problem(&whole.dbias, &expected.dbias, sum_of(samples * length))),
                    ]
                    .into_iter()
                    .filter_map(|(what, problem)| Some(format!("{name} {what}{}", problem?))),
                );
                let shards = step.in_shards(gpu, &[cut]);
                wrong.extend(different(&shards, &whole).map(|what| format!("{name} cut at {cut}: {what}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}

#[test]
fn every_size_that_is_defined_for_kernels_is_a_boundary() {
    /// They are no sizes of tensors.
    const OTHER: [&str; 10] = [
        "bind_groups::MOST",
        "shared::MOST_BINDINGS",
        "queue::MOST_DISPATCHES",
        "queue::MOST_WORKGROUPS",
        "memory::SMALLEST",
        "memory::VECTOR",
        "params::SLOTS",
        "params::STRIDE",
        "read_back::SMALLEST",
        "shaders::SHADERS",
    ];
    let sources = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).expect("the sources lie beside");
    let listed = boundaries();
    let mut defined = 0;
    for path in sources.map(|entry| entry.expect("readable").path()) {
        let text = fs::read_to_string(&path).expect("text");
        let file = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        for line in text.lines().filter(|line| line.contains(": usize = ") || line.contains(": u64 = ")) {
            let Some((name, _)) = line.split_once("const ").and_then(|(_, rest)| rest.split_once(": u")) else {
                continue;
            };
            let name = format!("{file}::{name}");
            defined += 1;
            let is_listed = listed.iter().any(|boundary| boundary.name == name) || OTHER.contains(&&*name);
            assert!(is_listed, "{name} is missing in boundaries.rs");
        }
    }
    assert!(defined > 15, "the search for constants finds them");
}

/// Rust divides the work by these numbers, and shaders count on it.
#[test]
fn sizes_of_shaders_are_those_of_rust() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let sizes = [
        ("sums.wgsl", "BLOCK", "tiles::BLOCK"),
        ("reduce.wgsl", "COALESCED", "tiles::COALESCED"),
        ("merge_lanes.wgsl", "COALESCED", "merge::COALESCED"),
        ("merge_lanes.wgsl", "CHUNKED", "merge::CHUNKED"),
        ("permute.wgsl", "TILE", "elementwise::TILE"),
    ];
    for (file, constant, name) in sizes {
        let text = fs::read_to_string(folder.join(file)).expect("a shader");
        let value = text.lines().find_map(|line| line.strip_prefix(&format!("const {constant} = "))).expect(constant);
        let value: usize = value.trim_end_matches("u;").parse().expect("a number");
        let is_that = |size: usize| size == value || size == 4 * value;
        assert!(boundaries().iter().any(|boundary| boundary.name == name && is_that(boundary.size)), "{file}: {value}");
    }
}
