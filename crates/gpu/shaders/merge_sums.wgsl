// Merges backward sums; makes of those of a whole batch the gradients of weight and bias and what `backward_input` needs. Twin:
// `crates/core/src/normalize/backward_input.rs`. Dispatch: `merge_lanes.wgsl`. Preludes: `pairs`, `merge`, `merge_lanes`.

/// Four rows of C values: mean_hi, mean_lo, invstd, 0.
@group(0) @binding(3) var<storage, read> statistics: array<f32>;
/// C values each.
@group(0) @binding(4) var<storage, read> weight: array<f32>;
@group(0) @binding(5) var<storage, read_write> dweight: array<f32>;
@group(0) @binding(6) var<storage, read_write> dbias: array<f32>;
/// Four rows of C values scale, centre, slope, offset: dx = (dy − (x − centre)·slope − offset)·scale.
@group(0) @binding(7) var<storage, read_write> plane: array<f32>;

const HAS_WEIGHT = 1u;
const WANTS_DWEIGHT = 2u;
const WANTS_DBIAS = 4u;
/// The statistics came from this batch and are no constants.
const OF_BATCH = 8u;
/// A variance below eps was replaced by it, and nothing flows back through it.
const CLAMPS = 16u;
const WANTS_PLANE = 32u;

fn merged(left: Node, right: Node, left_count: f32, right_count: f32) -> Node {
  return add_nodes(left, right);
}

fn put_root(channel: u32, first: vec2f, sum_dy_xhi: f32) {
  let sum_dy = first.x;
  let mean_lo = statistics[params.channels + channel];
  let invstd = statistics[2u * params.channels + channel];
  let sum_dy_xmu = fma(-mean_lo, sum_dy, sum_dy_xhi);
  if (params.flags & WANTS_DWEIGHT) != 0u {
    dweight[channel] = sum_dy_xmu * invstd;
  }
  if (params.flags & WANTS_DBIAS) != 0u {
    dbias[channel] = sum_dy;
  }
  if (params.flags & WANTS_PLANE) != 0u {
    put_plane(channel, sum_dy, sum_dy_xmu);
  }
}

fn put_plane(channel: u32, sum_dy: f32, sum_dy_xmu: f32) {
  let mean_lo = statistics[params.channels + channel];
  let invstd = statistics[2u * params.channels + channel];
  var scale = invstd;
  if (params.flags & HAS_WEIGHT) != 0u {
    scale *= weight[channel];
  }
  var slope = 0.0;
  var offset = 0.0;
  if (params.flags & OF_BATCH) != 0u && params.values > 0u {
    let inverse_count = 1.0 / f32(params.values);
    // The inverse deviation that eps alone makes is the largest; a part in a million is for rounding.
    let is_clamped = (params.flags & CLAMPS) != 0u && invstd * 1.000001 >= inverseSqrt(params.eps);
    slope = select(sum_dy_xmu * inverse_count * invstd * invstd, 0.0, is_clamped);
    offset = fma(-mean_lo, slope, sum_dy * inverse_count);
  }
  plane[channel] = scale;
  plane[params.channels + channel] = statistics[channel];
  plane[2u * params.channels + channel] = slope;
  plane[3u * params.channels + channel] = offset;
}
