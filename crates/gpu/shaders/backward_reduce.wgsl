// sum_dy = Σdy and sum_dy_xmu = Σdy·(x − mean_hi) of every atom. Twin: `crates/core/src/reduce/backward_reduce.rs`. Dispatch:
// `reduce.wgsl`. Preludes: `pairs`, `units`, `sums`, `reduce`.

/// dy, like x, as vectors and as values.
@group(0) @binding(5) var<storage, read> dy: array<vec4f>;
@group(0) @binding(6) var<storage, read> dy_values: array<f32>;
/// Four rows of C values, the first of which is mean_hi.
@group(0) @binding(7) var<storage, read> statistics: array<f32>;

fn centre_of(unit: Unit) -> vec4f {
  if !ROWS {
    return vec4f(statistics[unit.column]);
  }
  let columns = min(unit.column + PLACES, vec4u(params.channels - 1u));
  return vec4f(statistics[columns.x], statistics[columns.y], statistics[columns.z], statistics[columns.w]);
}

fn load_dy(unit: Unit, vector: u32) -> vec4f {
  if VECTORS {
    return dy[(unit.base + vector * select(4u, params.channels, ROWS)) >> 2u];
  }
  return gather_dy(places(unit, vector));
}

fn load_dy_within(unit: Unit, vector: u32) -> vec4f {
  if VECTORS {
    return load_dy(unit, vector);
  }
  return gather_dy(places_within(unit, vector));
}

fn gather_dy(at: vec4u) -> vec4f {
  return vec4f(dy_values[at.x], dy_values[at.y], dy_values[at.z], dy_values[at.w]);
}

fn add_terms(terms: Terms, dy: vec4f, x: vec4f, centre: vec4f) -> Terms {
  return Terms(terms.first + dy, fma(dy, rounded(x - centre), terms.second));
}

fn node_of(sums: Node, centre: vec4f, count: f32) -> Reduced {
  return Reduced(sums, centre, true);
}
