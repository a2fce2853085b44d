// Runs of vectors, whose channels are followed without dividing: the family `chunked` of the kernels that look at each value once.
// A prelude, which takes `put_vector` and `put_block` from the kernel. Prelude before it: `channels`.
//
// `blocks` is for planes or rows of whole blocks of four vectors: checking an index costs software adapters as much as a vector. They
// also go through a body for all invocations that share a register, and once more for none where the condition of a loop comes
// first: so it comes last. Dispatch: x · y · 64 ≥ runs.

/// Vectors with the same channels, at least one.
fn put_column(begin: u32, end: u32) {
  let constants = constants_of_four(channels_of(begin));
  var i = begin;
  loop {
    put_vector(i, constants);
    continuing {
      i += params.stride;
      break if i >= end;
    }
  }
}

/// Adjacent vectors of planes of four values or more, at least one. Inside a plane nothing is decided.
fn put_planes(begin: u32, end: u32) {
  var channel = ((4u * begin) / params.length) % params.channels;
  var constants = constants_of_one(channel);
  var left = params.length - (4u * begin) % params.length;
  var i = begin;
  loop {
    let whole = min(i + (left >> 2u), end);
    if i < whole {
      loop {
        put_vector(i, constants);
        continuing {
          i++;
          break if i >= whole;
        }
      }
    }
    if i < end {
      left &= 3u;
      channel = select(channel + 1u, 0u, channel + 1u == params.channels);
      let next = constants_of_one(channel);
      if left > 0u {
        put_vector(i, joined(constants, next, PLACES >= vec4u(left)));
        i++;
        left -= 4u;
      }
      left += params.length;
      constants = next;
    }
    continuing {
      break if i >= end;
    }
  }
}

/// Adjacent blocks of planes of whole blocks, at least one.
fn put_blocks(begin: u32, end: u32) {
  let length = params.length >> 4u;
  let plane = begin / length;
  var channel = plane % params.channels;
  var next = (plane + 1u) * length;
  var i = begin;
  loop {
    let constants = constants_of_one(channel);
    let whole = min(next, end);
    loop {
      put_block(i, constants, constants, constants, constants);
      continuing {
        i++;
        break if i >= whole;
      }
    }
    continuing {
      next += length;
      channel = select(channel + 1u, 0u, channel + 1u == params.channels);
      break if i >= end;
    }
  }
}

/// Blocks with the same channels, at least one.
fn put_block_column(begin: u32, end: u32) {
  let channels = (16u * begin) % params.channels + PLACES;
  let a = constants_of_four(channels);
  let b = constants_of_four(channels + 4u);
  let c = constants_of_four(channels + 8u);
  let d = constants_of_four(channels + 12u);
  var i = begin;
  loop {
    put_block(i, a, b, c, d);
    continuing {
      i += params.stride;
      break if i >= end;
    }
  }
}

/// Where a run begins, and what it ends before.
fn run_of(index: u32) -> vec2u {
  let place = index % params.stride;
  let first = (index - place) * params.run;
  return vec2u(first + place, min(first + params.run * params.stride, params.vectors));
}

@compute @workgroup_size(64)
fn chunked(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let run = run_of(index_of(id, groups));
  if run.x >= run.y {
    return;
  }
  if ROWS {
    put_column(run.x, run.y);
  } else {
    put_planes(run.x, run.y);
  }
}

@compute @workgroup_size(64)
fn blocks(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let run = run_of(index_of(id, groups));
  if run.x >= run.y {
    return;
  }
  if ROWS {
    put_block_column(run.x, run.y);
  } else {
    put_blocks(run.x, run.y);
  }
}
