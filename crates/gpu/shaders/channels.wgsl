// Where the four values of a vector of a batch find their channels; a prelude of `normalize` and `backward_input`.
// Dispatch: x · y · 64 ≥ vectors.

struct Params {
  /// Vectors of the batch, the last of which may be incomplete.
  vectors: u32,
  /// C.
  channels: u32,
  /// L.
  length: u32,
  /// Which of the optional arguments are there; see the kernels.
  flags: u32,
}

/// Whether memory is (N, C, L).
override CONTIGUOUS: bool = true;
/// Whether a vector has one channel, or four adjacent ones.
override ALIGNED: bool = false;

@group(0) @binding(0) var<uniform> params: Params;

fn channels_of(vector: u32) -> vec4u {
  let first = 4u * vector;
  let all = first + vec4u(0u, 1u, 2u, 3u);
  if CONTIGUOUS {
    if ALIGNED {
      return vec4u((first / params.length) % params.channels);
    }
    return (all / params.length) % params.channels;
  }
  if ALIGNED {
    return first % params.channels + vec4u(0u, 1u, 2u, 3u);
  }
  return all % params.channels;
}

fn vector_of(id: vec3u, groups: vec3u) -> u32 {
  return id.y * groups.x * 64u + id.x;
}
