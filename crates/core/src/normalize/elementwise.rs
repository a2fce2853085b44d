//! Functions of single elements whose parameters depend on the channel: one walk over a batch for all of them.
//!
//! Planes have one set of parameters each. Rows have one per column; narrow rows are taken several at a time, with the
//! parameters repeated, so that the inner loop is long and whole vectors are used. Unlike in reductions nothing that is
//! done here can change a result.

use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ops::Range;

use crate::layout::{Format, Layout};
use crate::simd::Lanes;

/// Columns that make a loop long beside the call that it needs.
pub(crate) const COLUMNS_AT_ONCE: usize = 256;

/// Values of half a block of rows, 256 KiB; blocks are walked from the last to the first.
pub(crate) const HALF_BLOCK: usize = 64 * 1024;

/// Length from which planes are worth a loop each.
pub(crate) const SHORT: usize = 16;
/// The same where there are [`MANY`] samples, which are worth a parameter for each column.
pub(crate) const SHORT_OF_MANY: usize = 33;
/// Samples beside whose work that of writing the parameters of all columns is small.
pub(crate) const MANY: usize = 48;

/// Parameters of a channel; a function need not use all.
pub(crate) type Parameters<T = f32> = [T; 4];

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
    first: &'a [f32],
    x: &'a [f32],
    out: &'a mut [f32],
}

/// The loops of one function, made for vectors of one type, in place or not.
struct Loops {
    /// Adjacent planes of a length, each with its parameters.
    planes: fn(Run<'_>, usize, &[Parameters]),
    /// Two rows at a time, so that their parameters are read once. Each has a value per column.
    rows: fn([Run<'_>; 2], Parameters<&[f32]>),
    scalars: fn(&mut Run<'_>, usize, Parameters<&[f32]>),
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
    let loops = if tensors.first.is_none() { Loops::of::<V, E, true>() } else { Loops::of::<V, E, false>() };
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
    fn of<V: Lanes, E: Element, const IN_PLACE: bool>() -> Self {
        Self {
            planes: planes::<V, E, IN_PLACE>,
            rows: rows::<V, E, IN_PLACE>,
            scalars: scalars::<E, IN_PLACE>,
            double: E::of_doubles,
            fits_vectors: E::fits_vectors,
        }
    }
}

impl<'a> Tensors<'a> {
    fn run(&mut self, range: Range<usize>) -> Run<'_> {
        Run {
            first: self.first.map_or(&[], |first| &first[range.clone()]),
            x: self.x.get(range.clone()).unwrap_or_default(),
            out: &mut self.out[range],
        }
    }

    /// Two runs, the later one second.
    fn runs(&mut self, begins: [usize; 2], length: usize) -> [Run<'_>; 2] {
        let [first, second] = begins.map(|begin| begin..begin + length);
        let (before, out) = self.out.split_at_mut(second.start);
        let input = |range: Range<usize>| self.first.map_or(&[][..], |first| &first[range]);
        let x = |range: Range<usize>| self.x.get(range).unwrap_or_default();
        [
            Run { first: input(first.clone()), x: x(first.clone()), out: &mut before[first] },
            Run { first: input(second.clone()), x: x(second), out: &mut out[..length] },
        ]
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
    let columns: Parameters<Vec<f32>> = core::array::from_fn(|p| columns_of(parameters, p, repeat, at_once));
    let columns = columns.each_ref().map(Vec::as_slice);
    let count = layout.samples() * layout.length() / repeat;
    let fits_vectors = parameters.iter().all(loops.fits_vectors) && (at_once * width).is_multiple_of(4);
    // The last rows first, for they have been read last and are still cached. Within a block a row of each half at a time:
    // hardware fetches ahead along both.
    let block = 2 * (HALF_BLOCK / all).max(1).next_multiple_of(at_once);
    for block in (0..count).step_by(block).rev().map(|begin| begin..(begin + block).min(count)) {
        let half = if fits_vectors { block.len() / at_once / 2 * at_once } else { 0 };
        for row in (block.start..block.start + half).step_by(at_once) {
            let begin = row * all + first;
            let begins = [begin, begin + half * all];
            let compute = |tensors: &mut Tensors<'_>| (loops.rows)(tensors.runs(begins, at_once * width), columns);
            match wide.is_empty() {
                true => compute(&mut tensors),
                false => {
                    let rows = begins.map(|begin| begin..begin + at_once * width);
                    compute_around_wide(loops, &mut tensors, &Places { wide, rows: &rows, width, repeat }, &compute);
                }
            }
        }
        for row in block.start + 2 * half..block.end {
            let begin = row * all + first;
            let row = begin..begin + width;
            let compute = |tensors: &mut Tensors<'_>| (loops.scalars)(&mut tensors.run(row.clone()), 0, columns);
            match wide.is_empty() {
                true => compute(&mut tensors),
                false => {
                    let rows = [row.clone()];
                    compute_around_wide(loops, &mut tensors, &Places { wide, rows: &rows, width, repeat }, &compute);
                }
            }
        }
    }
}

/// The places of wide channels in some runs of rows, each channel having `repeat` adjacent columns.
struct Places<'a> {
    wide: &'a [WideChannel],
    rows: &'a [Range<usize>],
    width: usize,
    repeat: usize,
}

impl Places<'_> {
    fn iter(&self) -> impl Iterator<Item = (usize, Parameters<f64>)> {
        self.rows.iter().flat_map(|rows| rows.clone().step_by(self.width)).flat_map(move |row| {
            self.wide.iter().flat_map(move |(number, exact)| {
                let column = row + number * self.repeat;
                (column..column + self.repeat).map(|place| (place, *exact))
            })
        })
    }
}

/// Computes rows, of which some columns are wide: their values are there before the rows overwrite what they come from.
#[cold]
#[inline(never)]
fn compute_around_wide(
    loops: &Loops,
    tensors: &mut Tensors<'_>,
    places: &Places<'_>,
    compute: &dyn Fn(&mut Tensors<'_>),
) {
    let values: Vec<f32> = places.iter().map(|(place, exact)| wide_value(loops, tensors, place, exact)).collect();
    compute(tensors);
    for ((place, _), value) in places.iter().zip(values) {
        tensors.out[place] = value;
    }
}

/// One of the parameters for each column of some equal rows, in which each channel has `repeat` adjacent columns.
fn columns_of(parameters: &[Parameters], p: usize, repeat: usize, rows: usize) -> Vec<f32> {
    let width = parameters.len() * repeat;
    let mut columns = vec![0.0; rows * width];
    let (first, others) = columns.split_at_mut(width);
    if repeat == 1 {
        for (column, of_channel) in first.iter_mut().zip(parameters) {
            *column = of_channel[p];
        }
    } else {
        for (columns, of_channel) in first.chunks_exact_mut(repeat).zip(parameters) {
            columns.fill(of_channel[p]);
        }
    }
    for other in others.chunks_exact_mut(width.max(1)) {
        other.copy_from_slice(first);
    }
    columns
}

/// Rows of `width` that make whole vectors and a loop of some length.
fn rows_at_once(width: usize) -> usize {
    let whole_vectors = 4 >> width.trailing_zeros().min(2);
    whole_vectors * (COLUMNS_AT_ONCE / (width * whole_vectors)).max(1)
}

fn planes<V: Lanes, E: Element, const IN_PLACE: bool>(run: Run<'_>, length: usize, parameters: &[Parameters]) {
    let Run { first, x, out } = run;
    for (number, (out, parameters)) in out.chunks_exact_mut(length).zip(parameters).enumerate() {
        let range = number * length..(number + 1) * length;
        let first = if IN_PLACE { &[] } else { &first[range.clone()] };
        let x = if E::USES_X { &x[range] } else { &[] };
        let mut plane = Run { first, x, out };
        if length < 4 || !E::fits_vectors(parameters) {
            scalars::<E, IN_PLACE>(&mut plane, 0, parameters.each_ref().map(core::slice::from_ref));
            continue;
        }
        let splat = parameters.map(V::splat);
        // The last four values first: what of them does not fill a vector is then there after the loop, also in place.
        let first = V::load(last_four(if IN_PLACE { plane.out } else { plane.first }));
        let x = if E::USES_X { V::load(last_four(plane.x)) } else { V::zero() };
        let last = E::of_vectors(first, x, splat);
        let mut vectors = Vectors::<E, IN_PLACE>::of(&mut plane, length / 4);
        for i in 0..length / 4 {
            vectors.apply(i, splat);
        }
        if let Some(values) = plane.out.last_chunk_mut() {
            last.store(values);
        }
    }
}

fn last_four(values: &[f32]) -> &[f32; 4] {
    values.last_chunk().unwrap_or(&[0.0; 4])
}

fn rows<V: Lanes, E: Element, const IN_PLACE: bool>(mut runs: [Run<'_>; 2], columns: Parameters<&[f32]>) {
    let count = runs[0].out.len() / 4;
    let columns = columns.map(|column| &column.as_chunks().0[..count]);
    let [mut a, mut b] = runs.each_mut().map(|run| Vectors::<E, IN_PLACE>::of(run, count));
    for i in 0..count {
        let parameters = columns.map(|column| V::load(&column[i]));
        a.apply::<V>(i, parameters);
        b.apply::<V>(i, parameters);
    }
}

/// A run cut into vectors.
struct Vectors<'a, E, const IN_PLACE: bool> {
    first: &'a [[f32; 4]],
    x: &'a [[f32; 4]],
    out: &'a mut [[f32; 4]],
    element: PhantomData<E>,
}

impl<'a, E: Element, const IN_PLACE: bool> Vectors<'a, E, IN_PLACE> {
    #[inline(always)]
    fn of(run: &'a mut Run<'_>, count: usize) -> Self {
        Self {
            first: if IN_PLACE { &[] } else { &run.first.as_chunks().0[..count] },
            x: if E::USES_X { &run.x.as_chunks().0[..count] } else { &[] },
            out: &mut run.out.as_chunks_mut().0[..count],
            element: PhantomData,
        }
    }

    #[inline(always)]
    fn apply<V: Lanes>(&mut self, i: usize, parameters: Parameters<V>) {
        let first = V::load(if IN_PLACE { &self.out[i] } else { &self.first[i] });
        let x = if E::USES_X { V::load(&self.x[i]) } else { V::zero() };
        E::of_vectors(first, x, parameters).store(&mut self.out[i]);
    }
}

/// What does not fill a vector, and channels that do not fit vectors.
#[inline(never)]
fn scalars<E: Element, const IN_PLACE: bool>(run: &mut Run<'_>, begin: usize, parameters: Parameters<&[f32]>) {
    for i in begin..run.out.len() {
        let first = if IN_PLACE { run.out[i] } else { run.first[i] };
        let x = if E::USES_X { run.x[i] } else { 0.0 };
        run.out[i] = E::of_scalars(first, x, parameters.map(|parameter| parameter[i % parameter.len()]));
    }
}
