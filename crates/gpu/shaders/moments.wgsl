// Mean and M2 of every atom. Twin: `crates/core/src/reduce/moments.rs`. Dispatch: `reduce.wgsl`. Preludes: `pairs`, `units`,
// `sums`, `reduce`.
//
// With a centre k, r = Σ(x − k) and q = Σ(x − k)² give mean = k + r/n and M2 = q − r²/n. The first k is the middle of four
// values, or of four vectors, of the atom, the second one the mean that the first k gave.

fn centre_of(unit: Unit) -> vec4f {
  let vectors = max(1u, select(unit.count / 4u, unit.count, ROWS));
  let a = load_x_within(unit, 0u);
  let b = load_x_within(unit, vectors / 4u);
  let c = load_x_within(unit, vectors / 2u);
  let d = load_x_within(unit, 3u * vectors / 4u);
  let low = max(min(a, b), min(c, d));
  let high = min(max(a, b), max(c, d));
  var middle = rounded(rounded(low + high) * 0.5);
  if !ROWS {
    let halves = rounded(rounded(middle + middle.zwxy) * 0.5);
    middle = rounded(rounded(halves.xxxx + halves.yyyy) * 0.5);
  }
  return select(vec4f(), middle, is_finite(middle));
}

fn load_dy(unit: Unit, vector: u32) -> vec4f {
  return vec4f();
}

fn load_dy_within(unit: Unit, vector: u32) -> vec4f {
  return vec4f();
}

fn add_terms(terms: Terms, dy: vec4f, x: vec4f, centre: vec4f) -> Terms {
  let deviation = rounded(x - centre);
  return Terms(terms.first + deviation, fma(deviation, deviation, terms.second));
}

fn node_of(sums: Node, centre: vec4f, count: f32) -> Reduced {
  let shift = rounded(sums.first.hi / count);
  let mean = two_sum(centre, shift);
  let m2 = add_to_pair(sums.second, rounded(-sums.first.hi * shift));
  // Among few values a centre may by chance be two deviations away, at the price of two bits. A mean that is infinite is no
  // centre: infinity less infinity is not a number, and the mean would be lost.
  let is_inexact = (rounded(rounded(shift * shift) * (0.25 * count)) > m2.hi) & is_finite(mean.hi);
  return Reduced(Node(mean, m2), select(centre, mean.hi, is_inexact), !any(is_inexact));
}
