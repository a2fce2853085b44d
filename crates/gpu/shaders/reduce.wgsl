// The sums of a unit and the node they make: what `moments` and `backward_reduce` share besides `units`; a prelude, which
// takes `centre_of`, `load_dy`, `load_dy_within`, `add_terms` and `node_of` from the kernel.
//
// Two families: `chunked`, for software adapters, gives a unit to one invocation and has no barrier; `coalesced` gives it to
// LANES invocations whose sums meet in a tree. In either a unit is looked at a second time, from a better centre, where the
// first sums do not tell its node exactly.
// Dispatch: x · y · 64 ≥ units for `chunked`, x · y · 128 / LANES ≥ units for `coalesced`.

/// Invocations per unit of `coalesced`, a power of two.
override LANES: u32 = 32u;

const COALESCED = 128u;
/// Vectors that are summed in f32 before they go to a pair.
const BLOCK = 16u;

/// Sums of terms in f32.
struct Terms {
  first: vec4f,
  second: vec4f,
}

/// What the sums of a unit tell.
struct Reduced {
  node: Node,
  /// What to look at it from again.
  centre: vec4f,
  is_exact: bool,
}

var<workgroup> sums_of_lanes: array<Node, COALESCED>;
var<workgroup> inexact_units: atomic<u32>;
var<workgroup> has_inexact: u32;

fn with_block(sums: Node, terms: Terms, is_first: bool) -> Node {
  if is_first {
    return Node(Pair(terms.first, vec4f()), Pair(terms.second, vec4f()));
  }
  return Node(add_to_pair(sums.first, terms.first), add_to_pair(sums.second, terms.second));
}

/// Sums over the vectors of one lane.
fn sums_of_lane(unit: Unit, centre: vec4f, lane: u32, lanes: u32) -> Node {
  var sums = Node();
  var terms = Terms();
  var is_first = true;
  let vectors = select(unit.count / 4u, unit.count, ROWS);
  for (var begin = lane; begin < vectors; begin += BLOCK * lanes) {
    if begin > lane {
      sums = with_block(sums, terms, is_first);
      is_first = false;
      terms = Terms();
    }
    let end = min(begin + BLOCK * lanes, vectors);
    for (var i = begin; i < end; i += lanes) {
      terms = add_terms(terms, load_dy(unit, i), load_x(unit, i), centre);
    }
  }
  if !ROWS && lane == 0u && unit.count % 4u != 0u {
    let is_value = 4u * vectors + PLACES < vec4u(unit.count);
    let dy = select(vec4f(), load_dy_within(unit, vectors), is_value);
    terms = add_terms(terms, dy, select(centre, load_x_within(unit, vectors), is_value), centre);
  }
  return with_block(sums, terms, is_first);
}

/// The four sums of a plane as one, in all four places; both of a node at once.
fn folded(sums: Node) -> Node {
  if ROWS {
    return sums;
  }
  let first = sums.first;
  let second = sums.second;
  let halves = add_pairs(
    Pair(vec4f(first.hi.xy, second.hi.xy), vec4f(first.lo.xy, second.lo.xy)),
    Pair(vec4f(first.hi.zw, second.hi.zw), vec4f(first.lo.zw, second.lo.zw)),
  );
  let both = add_pairs(Pair(halves.hi.xzxz, halves.lo.xzxz), Pair(halves.hi.ywyw, halves.lo.ywyw));
  return Node(Pair(both.hi.xxxx, both.lo.xxxx), Pair(both.hi.yyyy, both.lo.yyyy));
}

/// Sums over the lanes of each unit, in the slots of lane 0.
fn add_lanes(slot: u32, units: u32) {
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if slot < half * units {
      sums_of_lanes[slot] = add_nodes(sums_of_lanes[slot], sums_of_lanes[slot + half * units]);
    }
  }
  workgroupBarrier();
}

@compute @workgroup_size(64)
fn chunked(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = id.y * groups.x * 64u + id.x;
  if index >= params.units {
    return;
  }
  let unit = unit_of(index);
  if unit.count == 0u {
    return;
  }
  let centre = centre_of(unit);
  let sums = folded(sums_of_lane(unit, centre, 0u, 1u));
  let node = node_of(sums, centre, f32(unit.count));
  if node.is_exact {
    store(unit, node.node);
    return;
  }
  let second = folded(sums_of_lane(unit, node.centre, 0u, 1u));
  store(unit, node_of(second, node.centre, f32(unit.count)).node);
}

@compute @workgroup_size(COALESCED)
fn coalesced(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  // Neighbours read neighbouring memory: lanes of a plane, columns of a row.
  let units = COALESCED / LANES;
  let place = select(local / LANES, local % units, ROWS);
  let lane = select(local % LANES, local / units, ROWS);
  let index = (id.y * groups.x + id.x) * units + place;
  var unit = Unit();
  if index < params.units {
    unit = unit_of(index);
  }
  let centre = centre_of(unit);
  let slot = lane * units + place;
  sums_of_lanes[slot] = sums_of_lane(unit, centre, lane, LANES);
  add_lanes(slot, units);
  var node = node_of(folded(sums_of_lanes[place]), centre, f32(unit.count));
  if lane == 0u && unit.count > 0u && !node.is_exact {
    atomicOr(&inexact_units, 1u);
  }
  workgroupBarrier();
  if local == 0u {
    has_inexact = atomicLoad(&inexact_units);
  }
  if workgroupUniformLoad(&has_inexact) != 0u {
    sums_of_lanes[slot] = sums_of_lane(unit, node.centre, lane, LANES);
    add_lanes(slot, units);
    node = node_of(folded(sums_of_lanes[place]), node.centre, f32(unit.count));
  }
  if lane == 0u && unit.count > 0u {
    store(unit, node.node);
  }
}
