// What `moments` and `backward_reduce` reduce together and where it lies; a prelude, no kernel itself. Its twin is
// `crates/core/src/reduce/walk.rs`.
//
// An atom is a leaf of the canonical tree or, of a large leaf, one of K chunks of equal length. A unit is what is reduced
// together: a chunk of one plane (4 neighbours of which are a vector), or four neighbouring columns of the rows of an atom (a
// row of which is a vector). What is computed depends on the place in the atom alone.

struct Params {
  /// 0, which no compiler may know.
  zero: u32,
  units: u32,
  /// C.
  channels: u32,
  /// L.
  length: u32,
  /// Samples from the first that is reduced here to the last.
  samples: u32,
  /// Samples before the first that is reduced here.
  skipped: u32,
  /// G.
  leaf: u32,
  /// log₂ K.
  chunk_shift: u32,
  /// Values of a channel in a chunk, in multiples of 4.
  chunk: u32,
  /// Where the nodes begin, in atoms.
  first_node: u32,
}

/// Whether units are columns of rows.
override ROWS: bool = false;
/// Whether memory is (N, C, L).
override CONTIGUOUS: bool = true;
/// Whether a vector is one aligned load.
override VECTORS: bool = false;

const PLACES = vec4u(0u, 1u, 2u, 3u);

@group(0) @binding(0) var<uniform> params: Params;
/// x, N·C·L values in the format of the batch, as vectors and as values.
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> x_values: array<f32>;
/// Atom after atom; in each the rows first_hi, first_lo, second_hi, second_lo of C values, rounded up to multiples of 4. Values
/// of planes, vectors of rows; the other one is absent.
@group(0) @binding(3) var<storage, read_write> nodes: array<f32>;
@group(0) @binding(4) var<storage, read_write> node_rows: array<vec4f>;

struct Unit {
  /// Index of the first value.
  base: u32,
  /// Sample of the first value, where G > 1.
  sample: u32,
  /// Values per channel.
  count: u32,
  column: u32,
  atom: u32,
}

/// Divisions cost as much as some vectors: there are no more of them than must be.
fn unit_of(index: u32) -> Unit {
  let last_part = (1u << params.chunk_shift) - 1u;
  if ROWS {
    let groups = (params.channels + 3u) / 4u;
    let atom = index / groups;
    let column = 4u * (index - atom * groups);
    let begin = (atom & last_part) * params.chunk;
    let sample = (atom >> params.chunk_shift) * params.leaf;
    let rows = min(params.leaf, params.samples - min(params.samples, sample)) * params.length;
    let base = ((params.skipped + sample) * params.length + begin) * params.channels + column;
    return Unit(base, params.skipped + sample, min(params.chunk, rows - min(rows, begin)), column, atom);
  }
  let plane = index >> params.chunk_shift;
  let part = index & last_part;
  let begin = part * params.chunk;
  let count = min(params.chunk, params.length - min(params.length, begin));
  let sample = plane / params.channels;
  let base = (params.skipped * params.channels + plane) * params.length + begin;
  return Unit(base, 0u, count, plane - sample * params.channels, (sample << params.chunk_shift) + part);
}

/// Where the values of a whole vector of a plane or of a row lie; columns beyond the last are repetitions of it.
fn places(unit: Unit, vector: u32) -> vec4u {
  if !ROWS {
    return unit.base + 4u * vector + PLACES;
  }
  let columns = min(PLACES, vec4u(params.channels - 1u - unit.column));
  if CONTIGUOUS {
    let row = (unit.sample + vector / params.length) * params.channels + unit.column;
    return (row + columns) * params.length + vector % params.length;
  }
  return unit.base + vector * params.channels + columns;
}

/// The same of a vector that may be incomplete: places beyond the end are repetitions of the last.
fn places_within(unit: Unit, vector: u32) -> vec4u {
  if !ROWS {
    return unit.base + min(4u * vector + PLACES, vec4u(unit.count - 1u));
  }
  return places(unit, vector);
}

fn load_x(unit: Unit, vector: u32) -> vec4f {
  if VECTORS {
    return x[(unit.base + vector * select(4u, params.channels, ROWS)) >> 2u];
  }
  return gather_x(places(unit, vector));
}

fn load_x_within(unit: Unit, vector: u32) -> vec4f {
  if VECTORS {
    return load_x(unit, vector);
  }
  return gather_x(places_within(unit, vector));
}

fn gather_x(at: vec4u) -> vec4f {
  return vec4f(x_values[at.x], x_values[at.y], x_values[at.z], x_values[at.w]);
}

/// Puts a node where it belongs. The last columns of a row may lie in what it is rounded up by.
fn store(unit: Unit, node: Node) {
  let storable = node_as_f64(node);
  let row = (params.channels + 3u) / 4u;
  let base = (params.first_node + unit.atom) * 4u * row;
  if ROWS {
    let at = base + unit.column / 4u;
    node_rows[at] = storable.first.hi;
    node_rows[at + row] = storable.first.lo;
    node_rows[at + 2u * row] = storable.second.hi;
    node_rows[at + 3u * row] = storable.second.lo;
  } else {
    let at = 4u * base + unit.column;
    nodes[at] = storable.first.hi.x;
    nodes[at + 4u * row] = storable.first.lo.x;
    nodes[at + 8u * row] = storable.second.hi.x;
    nodes[at + 12u * row] = storable.second.lo.x;
  }
}
