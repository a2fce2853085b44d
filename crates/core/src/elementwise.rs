//! Functions of single elements whose parameters depend on the channel: one walk over a batch for all of them.
//!
//! Planes have one set of parameters each. Rows have one per column; narrow rows are taken several at a time, with the
//! parameters repeated, so that the inner loop is long and whole vectors are used. Unlike in reductions nothing that is
//! done here can change a result.

use core::ops::{Add, Mul, Range, Sub};

use crate::layout::{Format, Layout};
use crate::rows::WIDE;
use crate::simd::Lanes;

/// What vectors and single values have in common.
pub(crate) trait Arithmetic: Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> {}

impl<T: Copy + Add<Output = T> + Sub<Output = T> + Mul<Output = T>> Arithmetic for T {}

/// Parameters of a channel; a function need not use all.
pub(crate) type Parameters<T = f32> = [T; 4];

/// A function of one or two elements at a place, the second from `Tensors::x`, and the parameters of their channel.
pub(crate) trait Element {
    /// Whether the second element is used.
    const USES_X: bool;

    fn of_vectors<V: Lanes>(first: V, x: V, parameters: Parameters<V>) -> V;

    fn of_scalars(first: f32, x: f32, parameters: Parameters) -> f32;

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
    plane: fn(Run<'_>, &Parameters),
    /// Each parameter has a value per column, and then begins again.
    row: fn(Run<'_>, Parameters<&[f32]>, bool),
    fits_vectors: fn(&Parameters) -> bool,
}

/// Computes some channels of a batch; `parameters` holds those channels alone.
pub(crate) fn map_channels<V: Lanes, E: Element>(
    tensors: Tensors<'_>,
    layout: &Layout,
    channels: Range<usize>,
    parameters: &[Parameters],
) {
    let fits_vectors = E::fits_vectors;
    let loops = if tensors.first.is_none() {
        Loops { plane: plane::<V, E, true>, row: row::<V, E, true>, fits_vectors }
    } else {
        Loops { plane: plane::<V, E, false>, row: row::<V, E, false>, fits_vectors }
    };
    match layout.format() {
        Format::Contiguous => walk_planes(&loops, tensors, layout, channels, parameters),
        Format::ChannelsLast => walk_rows(&loops, tensors, layout, channels, parameters),
    }
}

impl Tensors<'_> {
    fn run(&mut self, range: Range<usize>) -> Run<'_> {
        Run {
            first: self.first.map_or(&[], |first| &first[range.clone()]),
            x: self.x.get(range.clone()).unwrap_or_default(),
            out: &mut self.out[range],
        }
    }
}

fn walk_planes(
    loops: &Loops,
    mut tensors: Tensors<'_>,
    layout: &Layout,
    channels: Range<usize>,
    parameters: &[Parameters],
) {
    let length = layout.length();
    for sample in 0..layout.samples() {
        let begin = (sample * layout.channels() + channels.start) * length;
        for (plane, parameters) in parameters.iter().enumerate() {
            let begin = begin + plane * length;
            (loops.plane)(tensors.run(begin..begin + length), parameters);
        }
    }
}

fn walk_rows(
    loops: &Loops,
    mut tensors: Tensors<'_>,
    layout: &Layout,
    channels: Range<usize>,
    parameters: &[Parameters],
) {
    let (all, width) = (layout.channels(), channels.len());
    let rows = if width == all { rows_at_once(all) } else { 1 };
    let columns: Parameters<Vec<f32>> = core::array::from_fn(|p| {
        let mut columns = Vec::with_capacity(rows * width);
        for _ in 0..rows {
            columns.extend(parameters.iter().map(|of_channel| of_channel[p]));
        }
        columns
    });
    let fits_vectors = parameters.iter().all(loops.fits_vectors);
    let count = layout.samples() * layout.length();
    for row in (0..count).step_by(rows) {
        let begin = row * all + channels.start;
        let run = tensors.run(begin..begin + width * rows.min(count - row));
        (loops.row)(run, columns.each_ref().map(Vec::as_slice), fits_vectors);
    }
}

/// Rows of `width` that make whole vectors and a loop of some length.
fn rows_at_once(width: usize) -> usize {
    let whole_vectors = 4 >> width.trailing_zeros().min(2);
    whole_vectors * WIDE.div_ceil(width * whole_vectors)
}

fn plane<V: Lanes, E: Element, const IN_PLACE: bool>(mut run: Run<'_>, parameters: &Parameters) {
    let count = if E::fits_vectors(parameters) { run.out.len() / 4 } else { 0 };
    let splat = parameters.map(V::splat);
    vectors::<V, E, IN_PLACE>(&mut run, count, |_| splat);
    if 4 * count < run.out.len() {
        scalars::<E, IN_PLACE>(run, 4 * count, parameters.each_ref().map(core::slice::from_ref));
    }
}

fn row<V: Lanes, E: Element, const IN_PLACE: bool>(mut run: Run<'_>, columns: Parameters<&[f32]>, fits_vectors: bool) {
    let count = if fits_vectors { run.out.len() / 4 } else { 0 };
    let of_vectors = columns.map(|column| &column.as_chunks().0[..count]);
    vectors::<V, E, IN_PLACE>(&mut run, count, |i| of_vectors.map(|column| V::load(&column[i])));
    if 4 * count < run.out.len() {
        scalars::<E, IN_PLACE>(run, 4 * count, columns);
    }
}

#[inline(always)]
fn vectors<V: Lanes, E: Element, const IN_PLACE: bool>(
    run: &mut Run<'_>,
    count: usize,
    parameters: impl Fn(usize) -> Parameters<V>,
) {
    let out = &mut run.out.as_chunks_mut::<4>().0[..count];
    let first = if IN_PLACE { &[] } else { &run.first.as_chunks::<4>().0[..count] };
    let x = if E::USES_X { &run.x.as_chunks::<4>().0[..count] } else { &[] };
    for i in 0..count {
        let first = V::load(if IN_PLACE { &out[i] } else { &first[i] });
        let x = if E::USES_X { V::load(&x[i]) } else { V::zero() };
        E::of_vectors(first, x, parameters(i)).store(&mut out[i]);
    }
}

/// What does not fill a vector, and channels that do not fit vectors.
#[inline(never)]
fn scalars<E: Element, const IN_PLACE: bool>(run: Run<'_>, begin: usize, parameters: Parameters<&[f32]>) {
    for i in begin..run.out.len() {
        let first = if IN_PLACE { run.out[i] } else { run.first[i] };
        let x = if E::USES_X { run.x[i] } else { 0.0 };
        run.out[i] = E::of_scalars(first, x, parameters.map(|parameter| parameter[i % parameter.len()]));
    }
}
