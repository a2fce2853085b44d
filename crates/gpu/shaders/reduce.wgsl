// The node of a unit: what `moments` and `backward_reduce` share besides `units` and `sums`; a prelude, which takes `centre_of`
// and `node_of` from the kernel.
//
// Two families: `chunked`, for software adapters, gives a unit to one invocation and has no barrier; `coalesced` gives it to
// LANES invocations whose sums meet in a tree. In either a unit is looked at a second time, from a better centre, where the
// first sums do not tell its node exactly.
// Dispatch: x · y · 64 ≥ units for `chunked`, x · y · 128 / LANES ≥ units for `coalesced`.

/// Invocations per unit of `coalesced`, a power of two.
override LANES: u32 = 32u;

const COALESCED = 128u;
/// What the sums of a unit tell.
struct Reduced {
  node: Node,
  /// What to look at it from again.
  centre: vec4f,
  is_exact: bool,
}

/// The sums of lanes: of rows four vectors each, row after row; of planes one, their four places being one sum.
var<workgroup> sums_of_lanes: array<vec4f, 4u * COALESCED>;
var<workgroup> inexact_units: atomic<u32>;
var<workgroup> has_inexact: u32;

fn put_sums(slot: u32, sums: Node) {
  if ROWS {
    sums_of_lanes[slot] = sums.first.hi;
    sums_of_lanes[slot + COALESCED] = sums.first.lo;
    sums_of_lanes[slot + 2u * COALESCED] = sums.second.hi;
    sums_of_lanes[slot + 3u * COALESCED] = sums.second.lo;
  } else {
    sums_of_lanes[slot] = vec4f(sums.first.hi.x, sums.first.lo.x, sums.second.hi.x, sums.second.lo.x);
  }
}

fn sums_at(slot: u32) -> Node {
  let first = sums_of_lanes[slot];
  if ROWS {
    let second = Pair(sums_of_lanes[slot + 2u * COALESCED], sums_of_lanes[slot + 3u * COALESCED]);
    return Node(Pair(first, sums_of_lanes[slot + COALESCED]), second);
  }
  return Node(Pair(first.xxxx, first.yyyy), Pair(first.zzzz, first.wwww));
}

/// The sums of each unit, to all of its lanes.
fn add_lanes(sums: Node, slot: u32, units: u32) -> Node {
  put_sums(slot, folded(sums));
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if slot < half * units {
      put_sums(slot, add_nodes(sums_at(slot), sums_at(slot + half * units)));
    }
  }
  workgroupBarrier();
  return sums_at(slot % units);
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
  var reduced = Reduced(Node(), centre_of(unit), false);
  var looks = 0u;
  loop {
    reduced = node_of(folded(sums_of_lane(unit, reduced.centre, 0u, 1u)), reduced.centre, f32(unit.count));
    continuing {
      looks++;
      break if reduced.is_exact || looks == 2u;
    }
  }
  store(unit, reduced.node);
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
  let count = f32(unit.count);
  var node = node_of(add_lanes(sums_of_lane(unit, centre, lane, LANES), slot, units), centre, count);
  if lane == 0u && unit.count > 0u && !node.is_exact {
    atomicOr(&inexact_units, 1u);
  }
  workgroupBarrier();
  if local == 0u {
    has_inexact = atomicLoad(&inexact_units);
  }
  if workgroupUniformLoad(&has_inexact) != 0u {
    let centre = node.centre;
    node = node_of(add_lanes(sums_of_lane(unit, centre, lane, LANES), slot, units), centre, count);
  }
  if lane == 0u && unit.count > 0u {
    store(unit, node.node);
  }
}
