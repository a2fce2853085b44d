//! Functions of single elements whose parameters depend on the channel: one walk over a batch for all of them.
//!
//! Planes have one set of parameters each. Rows have one per column; narrow rows are taken several at a time, with the
//! parameters repeated, so that the inner loop is long and whole vectors are used. Unlike in reductions nothing that is
//! done here can change a result.

use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ops::Range;

use crate::layout::{Format, Layout};
use crate::simd::{Lanes, Native, Targets};

/// Columns that make a loop long beside the call that it needs.
pub(crate) const COLUMNS_AT_ONCE: usize = 256;

/// Columns from which reading their parameters is work: then four rows share them instead of two.
pub(crate) const MANY_COLUMNS: usize = 1024;

/// Values of a block of rows, 512 KiB; blocks are walked from the last to the first.
pub(crate) const BLOCK: usize = 128 * 1024;

/// Length from which planes are worth a loop each.
pub(crate) const SHORT: usize = 16;
/// The same where there are [`MANY`] samples, which are worth a parameter for each column.
pub(crate) const SHORT_OF_MANY: usize = 33;
/// Samples beside whose work that of writing the parameters of all columns is small.
pub(crate) const MANY: usize = 48;

/// Parameters of a channel; a function need not use all.
pub(crate) type Parameters<T = f32> = [T; 4];

/// The parameters of four adjacent columns, one vector for each: a loop over columns then reads them from one address.
type Columns = Parameters<[f32; 4]>;

/// A channel whose parameters leave the range of f32, by number among those that are computed, with the exact ones. It is
/// computed in f64; almost always there is none.
pub(crate) type WideChannel = (usize, Parameters<f64>);

/// Numbers up to this one, 2^100, do not make sums and products leave the range of f32 unless the results do.
const MOST: f32 = (1_u128 << 100) as f32;

/// The channels that are wide; `exact` has the parameters of a channel, by its number among those of `parameters`.
pub(crate) fn wide_channels<E: Element>(
    parameters: &[Parameters],
    exact: impl Fn(usize) -> Parameters<f64>,
) -> Vec<WideChannel> {
    // Seldom is there one, and factors of 0 are seldom: a glance at the rounded parameters tells that all are well.
    if is_any_doubtful::<E>(parameters) { find_wide_channels(parameters.len(), E::FACTORS, &exact) } else { Vec::new() }
}

/// Whether a parameter is beyond [`MOST`] or no number, or a factor is below the normal range. Magnitudes are compared by their
/// bits, whose order is theirs: so the four of a channel are one vector of integers, and nothing branches.
fn is_any_doubtful<E: Element>(parameters: &[Parameters]) -> bool {
    const MAGNITUDE: u32 = u32::MAX >> 1;
    let least = E::FACTORS.map(|is_factor| if is_factor { f32::MIN_POSITIVE.to_bits() } else { 0 });
    let mut above_least = [0; 4];
    for of_channel in parameters {
        for p in 0..4 {
            // What is below the least wraps to more than any number is above it.
            let above = (of_channel[p].to_bits() & MAGNITUDE).wrapping_sub(least[p]);
            above_least[p] = above.max(above_least[p]);
        }
    }
    (0..4).any(|p| above_least[p] > MOST.to_bits() - least[p])
}

#[cold]
#[inline(never)]
fn find_wide_channels(
    count: usize,
    factors: Parameters<bool>,
    exact: &dyn Fn(usize) -> Parameters<f64>,
) -> Vec<WideChannel> {
    let is_wide = |number: f64, is_factor: bool| {
        number.abs() > f64::from(MOST) || (is_factor && number != 0.0 && number.abs() < f64::from(f32::MIN_POSITIVE))
    };
    let numbered = (0..count).map(|number| (number, exact(number)));
    numbered.filter(|(_, exact)| (0..4).any(|p| is_wide(exact[p], factors[p]))).collect()
}

/// A function of one or two elements at a place, the second from `Tensors::x`, and the parameters of their channel.
pub(crate) trait Element {
    /// Whether the second element is used.
    const USES_X: bool;

    /// Which of the parameters are factors: they need all their digits.
    const FACTORS: Parameters<bool>;

    fn of_vectors<V: Lanes>(first: V, x: V, parameters: Parameters<V>) -> V;

    fn of_scalars(first: f32, x: f32, parameters: Parameters) -> f32;

    /// With the exact parameters of a channel that leaves the range of f32.
    fn of_doubles(first: f64, x: f64, parameters: Parameters<f64>) -> f64;

    /// Whether vectors give what scalars give. If not, the channel is computed by scalars.
    fn fits_vectors(_parameters: &Parameters) -> bool {
        true
    }
}

/// The tensors of a walk. Without the first input `out` holds it and is overwritten.
pub(crate) struct Tensors<'a> {
    pub(crate) first: Option<&'a [f32]>,
    /// Empty where it is not used.
    pub(crate) x: &'a [f32],
    pub(crate) out: &'a mut [f32],
}

/// The same range of all tensors.
struct Run<'a> {
    /// The output, computed from the first input or from itself.
    out: Targets<'a, f32>,
    x: &'a [f32],
}

/// The loops of one function, made for vectors of one type.
struct Loops {
    /// Adjacent planes of a length, each with its parameters.
    planes: fn(Run<'_>, usize, &[Parameters]),
    /// Two or four rows at a time, so that the parameters of their columns are read once.
    two_rows: fn([Run<'_>; 2], &[Columns]),
    four_rows: fn([Run<'_>; 4], &[Columns]),
    /// A row that is left over, or whose columns do not fill vectors, or have channels that do not fit vectors.
    scalars: fn([Run<'_>; 1], &[Columns]),
    double: fn(f64, f64, Parameters<f64>) -> f64,
    fits_vectors: fn(&Parameters) -> bool,
}

/// Computes some channels of a batch; `parameters` and `wide` hold those channels alone.
pub(crate) fn map_channels<V: Lanes, E: Element>(
    tensors: Tensors<'_>,
    layout: &Layout,
    channels: Range<usize>,
    parameters: &[Parameters],
    wide: &[WideChannel],
) {
    let loops = Loops::of::<V, E>();
    match layout.format() {
        Format::Contiguous if layout.length() >= if layout.samples() < MANY { SHORT } else { SHORT_OF_MANY } => {
            walk_planes(&loops, tensors, layout, channels, parameters, wide);
        }
        // A sample of short planes is one row, in which each channel has several columns.
        Format::Contiguous => walk_rows(&loops, tensors, layout, channels, layout.length(), parameters, wide),
        Format::ChannelsLast => walk_rows(&loops, tensors, layout, channels, 1, parameters, wide),
    }
}

impl Loops {
    fn of<V: Lanes, E: Element>() -> Self {
        Self {
            planes: planes::<V, E>,
            two_rows: rows::<V, E, 2, 2>,
            four_rows: rows::<V, E, 4, 1>,
            scalars: scalars_of_row::<E>,
            double: E::of_doubles,
            fits_vectors: E::fits_vectors,
        }
    }
}

impl<'a> Tensors<'a> {
    fn run(&mut self, range: Range<usize>) -> Run<'_> {
        Run {
            out: Targets::new(self.first.map(|first| &first[range.clone()]), &mut self.out[range.clone()]),
            x: self.x.get(range).unwrap_or_default(),
        }
    }

    /// Some runs in order of their places.
    fn runs<const RUNS: usize>(&mut self, begins: [usize; RUNS], length: usize) -> [Run<'_>; RUNS] {
        let (mut rest, mut taken) = (&mut *self.out, 0);
        begins.map(|begin| {
            let (_, from_begin) = core::mem::take(&mut rest).split_at_mut(begin - taken);
            let (out, after) = from_begin.split_at_mut(length);
            (rest, taken) = (after, begin + length);
            let input = |input: &'a [f32]| &input[begin..begin + length];
            Run {
                out: Targets::new(self.first.map(input), out),
                x: self.x.get(begin..begin + length).unwrap_or_default(),
            }
        })
    }
}

fn walk_planes(
    loops: &Loops,
    mut tensors: Tensors<'_>,
    layout: &Layout,
    channels: Range<usize>,
    parameters: &[Parameters],
    wide: &[WideChannel],
) {
    let length = layout.length();
    for sample in 0..layout.samples() {
        let begin = (sample * layout.channels() + channels.start) * length;
        let planes = |planes: Range<usize>| begin + planes.start * length..begin + planes.end * length;
        let mut next = 0;
        for (number, exact) in wide {
            (loops.planes)(tensors.run(planes(next..*number)), length, &parameters[next..*number]);
            for place in planes(*number..number + 1) {
                tensors.out[place] = wide_value(loops, &tensors, place, *exact);
            }
            next = number + 1;
        }
        (loops.planes)(tensors.run(planes(next..parameters.len())), length, &parameters[next..]);
    }
}

/// The value of a channel that leaves the range of f32.
#[cold]
#[inline(never)]
#[allow(clippy::cast_possible_truncation, reason = "the one rounding")]
fn wide_value(loops: &Loops, tensors: &Tensors<'_>, place: usize, exact: Parameters<f64>) -> f32 {
    let first = tensors.first.unwrap_or(tensors.out)[place];
    let x = tensors.x.get(place).copied().unwrap_or(0.0);
    (loops.double)(f64::from(first), f64::from(x), exact) as f32
}

/// Walks over rows in which each channel has `repeat` adjacent columns.
fn walk_rows(
    loops: &Loops,
    mut tensors: Tensors<'_>,
    layout: &Layout,
    channels: Range<usize>,
    repeat: usize,
    parameters: &[Parameters],
    wide: &[WideChannel],
) {
    let (all, first, width) = (layout.channels() * repeat, channels.start * repeat, channels.len() * repeat);
    let at_once = if width == all { rows_at_once(all) } else { 1 };
    let columns = columns_of(parameters, repeat, at_once);
    let count = layout.samples() * layout.length() / repeat;
    let fits_vectors = parameters.iter().all(loops.fits_vectors) && (at_once * width).is_multiple_of(4);
    let rows = RowsOf { all, first, width, repeat, columns: columns.as_chunks().0, wide };
    let most_together = if width < MANY_COLUMNS { 2 } else { 4 };
    // The last rows first, for they have been read last and are still cached. Within a block a row of each part at a time:
    // hardware fetches ahead along each.
    let block = most_together * (BLOCK / most_together / all).max(1).next_multiple_of(at_once);
    for block in (0..count).step_by(block).rev().map(|begin| begin..(begin + block).min(count)) {
        let mut next = block.start;
        for together in [4, 2] {
            if !fits_vectors || together > most_together {
                continue;
            }
            let part = (block.end - next) / at_once / together * at_once;
            // Rows of all columns are adjacent.
            let in_run = if width == all { part.max(1) } else { 1 };
            for row in (next..next + part).step_by(in_run) {
                let runs = [0, 1, 2, 3].map(|number| row + number * part);
                match (together, runs) {
                    (2, [a, b, ..]) => rows.compute(loops, &mut tensors, [a, b], in_run, loops.two_rows),
                    _ => rows.compute(loops, &mut tensors, runs, in_run, loops.four_rows),
                }
            }
            next += together * part;
        }
        for row in next..block.end {
            rows.compute(loops, &mut tensors, [row], 1, loops.scalars);
        }
    }
}

/// Rows of some columns.
#[derive(Clone, Copy)]
struct RowsOf<'a> {
    /// Columns of the whole batch.
    all: usize,
    first: usize,
    width: usize,
    /// Adjacent columns of a channel.
    repeat: usize,
    columns: &'a [Columns],
    wide: &'a [WideChannel],
}

impl RowsOf<'_> {
    /// Computes the runs that begin with some rows and have `count` each.
    #[inline(always)]
    fn compute<const RUNS: usize>(
        self,
        loops: &Loops,
        tensors: &mut Tensors<'_>,
        rows: [usize; RUNS],
        count: usize,
        compute: fn([Run<'_>; RUNS], &[Columns]),
    ) {
        let begins = rows.map(|row| row * self.all + self.first);
        let length = count * self.width;
        if self.wide.is_empty() {
            compute(tensors.runs(begins, length), self.columns);
        } else {
            self.compute_around_wide(loops, tensors, &begins, length, &|tensors| {
                compute(tensors.runs(begins, length), self.columns);
            });
        }
    }

    /// The same where some columns are wide: their values are there before the runs overwrite what they come from.
    #[cold]
    #[inline(never)]
    fn compute_around_wide(
        self,
        loops: &Loops,
        tensors: &mut Tensors<'_>,
        begins: &[usize],
        length: usize,
        compute: &dyn Fn(&mut Tensors<'_>),
    ) {
        let mut values = Vec::new();
        for row in begins.iter().flat_map(|begin| (*begin..begin + length).step_by(self.width)) {
            for (number, exact) in self.wide {
                let column = row + number * self.repeat;
                for place in column..column + self.repeat {
                    values.push((place, wide_value(loops, tensors, place, *exact)));
                }
            }
        }
        compute(tensors);
        for (place, value) in values {
            tensors.out[place] = value;
        }
    }
}

/// The parameters of each four columns, as [`Columns`] end to end, of some equal rows in which each channel has `repeat` adjacent
/// columns.
fn columns_of(parameters: &[Parameters], repeat: usize, rows: usize) -> Vec<Parameters> {
    let count = parameters.len() * repeat * rows;
    let mut columns = Vec::with_capacity(count.next_multiple_of(4));
    for _ in 0..rows {
        for of_channel in parameters {
            columns.resize(columns.len() + repeat, *of_channel);
        }
    }
    columns.resize(count.next_multiple_of(4), [0.0; 4]);
    for four in columns.as_chunks_mut::<4>().0 {
        *four = Native::transpose(four.each_ref().map(Native::load)).map(Native::to_array);
    }
    columns
}

/// Rows of `width` that make whole vectors and a loop of some length.
fn rows_at_once(width: usize) -> usize {
    let whole_vectors = 4 >> width.trailing_zeros().min(2);
    whole_vectors * (COLUMNS_AT_ONCE / (width * whole_vectors)).max(1)
}

fn planes<V: Lanes, E: Element>(mut run: Run<'_>, length: usize, parameters: &[Parameters]) {
    for (number, parameters) in parameters.iter().enumerate() {
        let begin = number * length;
        let x = if E::USES_X { &run.x[begin..begin + length] } else { &[] };
        let mut plane = Run { out: run.out.part(begin, length), x };
        if length < 4 || !E::fits_vectors(parameters) {
            scalars::<E>(plane, |_| *parameters);
            continue;
        }
        let splat = parameters.map(V::splat);
        // The last four values first: what of them does not fill a vector is then there after the loop, also in place.
        let last = Vectors::<E, 1>::of(&mut plane, length - 4, 1).value::<V>(0, 0, splat);
        let mut vectors = Vectors::<E, 1>::of(&mut plane, 0, length / 4);
        for i in 0..length / 4 {
            vectors.apply(i, 0, splat);
        }
        last.store(plane.out.part(length - 4, 4).into_groups().target(0));
    }
}

/// Some runs of rows, `UNROLLED` vectors of each at a time.
fn rows<V: Lanes, E: Element, const RUNS: usize, const UNROLLED: usize>(
    mut runs: [Run<'_>; RUNS],
    columns: &[Columns],
) {
    let length = 4 * columns.len();
    let (columns, rest) = columns.as_chunks();
    for begin in (0..runs[0].out.len()).step_by(length) {
        part_of_rows::<V, E, RUNS, UNROLLED>(&mut runs, begin, columns);
        if !rest.is_empty() {
            part_of_rows::<V, E, RUNS, 1>(&mut runs, begin + 4 * UNROLLED * columns.len(), rest.as_chunks().0);
        }
    }
}

/// Some columns of a row of each run, from `begin`.
#[inline(always)]
fn part_of_rows<V: Lanes, E: Element, const RUNS: usize, const UNROLLED: usize>(
    runs: &mut [Run<'_>; RUNS],
    begin: usize,
    columns: &[[Columns; UNROLLED]],
) {
    let mut runs = runs.each_mut().map(|run| Vectors::<E, UNROLLED>::of(run, begin, columns.len()));
    for (i, columns) in columns.iter().enumerate() {
        for (k, columns) in columns.iter().enumerate() {
            let parameters = columns.each_ref().map(V::load);
            for run in &mut runs {
                run.apply::<V>(i, k, parameters);
            }
        }
    }
}

/// A part of a run cut into vectors, of which `UNROLLED` lie together.
struct Vectors<'a, E, const UNROLLED: usize> {
    out: Targets<'a, [[f32; 4]; UNROLLED]>,
    x: &'a [[[f32; 4]; UNROLLED]],
    element: PhantomData<E>,
}

impl<'a, E: Element, const UNROLLED: usize> Vectors<'a, E, UNROLLED> {
    #[inline(always)]
    fn of(run: &'a mut Run<'_>, begin: usize, count: usize) -> Self {
        Self {
            out: run.out.part(begin, 4 * UNROLLED * count).into_groups::<4>().into_groups(),
            x: if E::USES_X { &run.x[begin..].as_chunks().0.as_chunks().0[..count] } else { &[] },
            element: PhantomData,
        }
    }

    #[inline(always)]
    fn value<V: Lanes>(&self, i: usize, k: usize, parameters: Parameters<V>) -> V {
        let x = if E::USES_X { V::load(&self.x[i][k]) } else { V::zero() };
        E::of_vectors(V::load(&self.out.source(i)[k]), x, parameters)
    }

    #[inline(always)]
    fn apply<V: Lanes>(&mut self, i: usize, k: usize, parameters: Parameters<V>) {
        self.value(i, k, parameters).store(&mut self.out.target(i)[k]);
    }
}

fn scalars_of_row<E: Element>([run]: [Run<'_>; 1], columns: &[Columns]) {
    scalars::<E>(run, |column| columns[column / 4].map(|parameter| parameter[column % 4]));
}

/// What does not fill a vector, and channels that do not fit vectors.
#[inline(always)]
fn scalars<E: Element>(mut run: Run<'_>, parameters: impl Fn(usize) -> Parameters) {
    for i in 0..run.out.len() {
        let x = if E::USES_X { run.x[i] } else { 0.0 };
        *run.out.target(i) = E::of_scalars(*run.out.source(i), x, parameters(i));
    }
}
