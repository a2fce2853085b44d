// Numbers as unevaluated sums of two f32, four at a time. A prelude of the kernels that reduce; no kernel itself.
//
// WGSL lets a compiler contract and reassociate, which would take the low parts away. `rounded` hides a value behind an
// integer operation whose other operand, 0, is known at run time only: nothing is simplified across it. Products that are
// added are `fma`, so that there is nothing to contract either. The same text hence gives the same bits in every pipeline
// of an adapter.

/// hi + lo, hi being the sum rounded.
struct Pair {
  hi: vec4f,
  lo: vec4f,
}

/// What a node of the canonical tree holds for four channels: mean and M2, or sum_dy and sum_dy_xmu.
struct Node {
  first: Pair,
  second: Pair,
}

const EXPONENT = 0x7f800000u;

fn rounded(value: vec4f) -> vec4f {
  return bitcast<vec4f>(bitcast<vec4u>(value) ^ vec4u(params.zero));
}

fn is_finite(value: vec4f) -> vec4<bool> {
  return (bitcast<vec4u>(value) & vec4u(EXPONENT)) != vec4u(EXPONENT);
}

/// a + b exactly (Knuth).
fn two_sum(a: vec4f, b: vec4f) -> Pair {
  let hi = rounded(a + b);
  let of_b = rounded(hi - a);
  let of_a = rounded(hi - of_b);
  let lo = rounded(a - of_a) + rounded(b - of_b);
  return Pair(hi, select(vec4f(), lo, is_finite(hi)));
}

/// a + b exactly where a is the larger (Dekker).
fn fast_two_sum(a: vec4f, b: vec4f) -> Pair {
  let hi = rounded(a + b);
  let lo = b - rounded(hi - a);
  return Pair(hi, select(vec4f(), rounded(lo), is_finite(hi)));
}

fn add_to_pair(a: Pair, b: vec4f) -> Pair {
  let sum = two_sum(a.hi, b);
  return fast_two_sum(sum.hi, rounded(sum.lo + a.lo));
}

fn add_pairs(a: Pair, b: Pair) -> Pair {
  let sum = two_sum(a.hi, b.hi);
  return fast_two_sum(sum.hi, rounded(sum.lo + rounded(a.lo + b.lo)));
}

fn add_nodes(a: Node, b: Node) -> Node {
  return Node(add_pairs(a.first, b.first), add_pairs(a.second, b.second));
}

/// The pair as f64 can hold it: partials travel as f64, and what has travelled must not differ from what has not. Zeros
/// lose their sign, as they do in a sum with the other part.
fn as_f64(value: Pair) -> Pair {
  let hi = bitcast<vec4u>(value.hi);
  let lo = bitcast<vec4u>(value.lo);
  let distance = vec4i((hi >> vec4u(23u)) & vec4u(255u)) - vec4i((lo >> vec4u(23u)) & vec4u(255u));
  let surplus = vec4u(clamp(distance - 29, vec4i(0), vec4i(24)));
  let kept = select(lo & (vec4u(0xffffffffu) << surplus), vec4u(), surplus == vec4u(24u));
  return Pair(bitcast<vec4f>(without_sign_of_zero(hi)), bitcast<vec4f>(without_sign_of_zero(kept)));
}

fn without_sign_of_zero(bits: vec4u) -> vec4u {
  return select(bits, vec4u(), (bits & vec4u(0x7fffffffu)) == vec4u());
}

fn node_as_f64(node: Node) -> Node {
  return Node(as_f64(node.first), as_f64(node.second));
}
