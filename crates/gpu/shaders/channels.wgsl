// Where the values of a batch find their channels' constants; a prelude of `normalize` and `backward_input`, which takes
// `constants_of` and `put_vector` from the kernel.
//
// Two families, as of the kernels that reduce: `coalesced`, here, gives a vector to each invocation; `chunked`, in `runs.wgsl`, a
// run of vectors. Neither changes the bits. Dispatch: x · y · 64 ≥ vectors.

struct Params {
  /// Vectors of the batch, the last of which may be incomplete; blocks of it for `blocks`.
  vectors: u32,
  /// C.
  channels: u32,
  /// L.
  length: u32,
  /// Which of the optional arguments are there; see the kernels.
  flags: u32,
  /// Vectors, or blocks, of a run.
  run: u32,
  /// From a vector, or block, to the next of a run. That of rows has the same channels.
  stride: u32,
}

/// The constants of the channels of a vector's four values.
struct Constants {
  first: vec4f,
  second: vec4f,
  third: vec4f,
  fourth: vec4f,
}

/// Whether the channels of a value's neighbours are others. If not, memory is (N, C, L).
override ROWS: bool = false;
/// Whether a vector has one channel, or of rows four adjacent ones.
override ALIGNED: bool = false;

const PLACES = vec4u(0u, 1u, 2u, 3u);

@group(0) @binding(0) var<uniform> params: Params;

fn channels_of(vector: u32) -> vec4u {
  let first = 4u * vector;
  if ROWS {
    if ALIGNED {
      return first % params.channels + PLACES;
    }
    return (first + PLACES) % params.channels;
  }
  if ALIGNED {
    return vec4u((first / params.length) % params.channels);
  }
  return ((first + PLACES) / params.length) % params.channels;
}

fn constants_of_one(channel: u32) -> Constants {
  let constants = constants_of(channel);
  return Constants(vec4f(constants.x), vec4f(constants.y), vec4f(constants.z), vec4f(constants.w));
}

fn constants_of_four(channels: vec4u) -> Constants {
  if !ROWS && ALIGNED {
    return constants_of_one(channels.x);
  }
  let a = constants_of(channels.x);
  let b = constants_of(channels.y);
  let c = constants_of(channels.z);
  let d = constants_of(channels.w);
  return Constants(
    vec4f(a.x, b.x, c.x, d.x),
    vec4f(a.y, b.y, c.y, d.y),
    vec4f(a.z, b.z, c.z, d.z),
    vec4f(a.w, b.w, c.w, d.w),
  );
}

/// `right` where places are `right_places`.
fn joined(left: Constants, right: Constants, right_places: vec4<bool>) -> Constants {
  return Constants(
    select(left.first, right.first, right_places),
    select(left.second, right.second, right_places),
    select(left.third, right.third, right_places),
    select(left.fourth, right.fourth, right_places),
  );
}

fn index_of(id: vec3u, groups: vec3u) -> u32 {
  return id.y * groups.x * 64u + id.x;
}

@compute @workgroup_size(64)
fn coalesced(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let vector = index_of(id, groups);
  if vector < params.vectors {
    put_vector(vector, constants_of_four(channels_of(vector)));
  }
}
