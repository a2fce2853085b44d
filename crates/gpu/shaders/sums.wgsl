// The sums of a unit; a prelude of `moments` and `backward_reduce`, which takes `load_dy`, `load_dy_within` and `add_terms` from
// the kernel. Preludes before it: `pairs`, `units`.
//
// Software adapters go through a body for all invocations that share a register, and once more for none where the condition of a
// loop comes first: so it comes last. Where there are many vectors four are taken at a time.

/// Whether four vectors are taken at a time.
override HAS_FOURS: bool = true;
/// Whether a lane may have more vectors than a block. It then has fours.
override HAS_BLOCKS: bool = true;

/// Vectors that are summed in f32 before they go to a pair.
const BLOCK = 16u;

/// Sums of terms in f32.
struct Terms {
  first: vec4f,
  second: vec4f,
}

fn with_terms(sums: Node, terms: Terms) -> Node {
  if !HAS_BLOCKS {
    return Node(Pair(terms.first, vec4f()), Pair(terms.second, vec4f()));
  }
  return Node(add_to_pair(sums.first, terms.first), add_to_pair(sums.second, terms.second));
}

/// Sums over the vectors of one lane.
fn sums_of_lane(unit: Unit, centre: vec4f, lane: u32, lanes: u32) -> Node {
  var sums = Node();
  var terms = Terms();
  let vectors = select(unit.count >> 2u, unit.count, ROWS);
  let whole = vectors & ~(4u * lanes - 1u);
  var i = lane;
  if HAS_FOURS {
    if i < whole {
      loop {
        let end = min(i + BLOCK * lanes, whole);
        loop {
          terms = add_terms(terms, load_dy(unit, i), load_x(unit, i), centre);
          terms = add_terms(terms, load_dy(unit, i + lanes), load_x(unit, i + lanes), centre);
          terms = add_terms(terms, load_dy(unit, i + 2u * lanes), load_x(unit, i + 2u * lanes), centre);
          terms = add_terms(terms, load_dy(unit, i + 3u * lanes), load_x(unit, i + 3u * lanes), centre);
          continuing {
            i += 4u * lanes;
            break if i >= end;
          }
        }
        if HAS_BLOCKS {
          sums = with_terms(sums, terms);
          terms = Terms();
        }
        continuing {
          break if i >= whole;
        }
      }
    }
  }
  if i < vectors {
    loop {
      terms = add_terms(terms, load_dy(unit, i), load_x(unit, i), centre);
      continuing {
        i += lanes;
        break if i >= vectors;
      }
    }
  }
  if !ROWS && lane == 0u && (unit.count & 3u) != 0u {
    let is_value = 4u * vectors + PLACES < vec4u(unit.count);
    let dy = select(vec4f(), load_dy_within(unit, vectors), is_value);
    terms = add_terms(terms, dy, select(centre, load_x_within(unit, vectors), is_value), centre);
  }
  return with_terms(sums, terms);
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
