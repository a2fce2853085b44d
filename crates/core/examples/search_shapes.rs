//! The long search over shapes: `npm run search:shapes`, or `cargo run --release -p syncbn-core --example search_shapes -- SEED`.

#[path = "../tests/shapes/reference.rs"]
mod reference;
#[path = "../tests/shapes/search.rs"]
mod search;
#[path = "../tests/shapes/shapes.rs"]
mod shapes;

use std::process::ExitCode;

use syncbn_core::Format;

use shapes::{Random, around_boundaries, small};

#[allow(clippy::print_stdout, reason = "the result of the search is its output")]
fn main() -> ExitCode {
    let seed = std::env::args().nth(1).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut random = Random(seed);
    let mut shapes = small();
    shapes.extend(around_boundaries(1 << 15, 4000, [0, 1], &mut random));
    shapes.extend(around_boundaries(1 << 18, 500, [0, 7], &mut random));
    let (mut searched, mut wrong) = (0, 0);
    for shape in shapes {
        for format in [Format::Contiguous, Format::ChannelsLast] {
            searched += 1;
            if let Err(error) = search::check(shape, format, &mut random) {
                wrong += 1;
                println!("{error}");
            }
        }
    }
    let kernels = search::KERNELS.len();
    println!("{searched} shapes × {kernels} kernels × 2 numerics searched with seed {seed}, {wrong} wrong");
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
