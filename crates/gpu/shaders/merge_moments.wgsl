// Merges moments; finalizes them and updates the running statistics if they are those of a whole batch. Twins:
// `tree/merge.rs` and `statistics` of `crates/core/src`. Dispatch: `merge_lanes.wgsl`. Preludes: `pairs`, `merge`,
// `merge_lanes`.

/// Four rows of C values: mean_hi, mean_lo, invstd, 0.
@group(0) @binding(3) var<storage, read_write> statistics: array<f32>;
/// C values each, from here on.
@group(0) @binding(4) var<storage, read> running_mean: array<f32>;
@group(0) @binding(5) var<storage, read> running_var: array<f32>;
@group(0) @binding(6) var<storage, read_write> next_mean: array<f32>;
@group(0) @binding(7) var<storage, read_write> next_var: array<f32>;

const HAS_STATISTICS = 1u;
const HAS_RUNNING = 2u;
/// 1 / √max(var, eps) instead of 1 / √(var + eps).
const CLAMPS = 4u;
/// The running variance takes that of the batch divided by n instead of n − 1.
const IS_BIASED = 8u;

const NOT_A_NUMBER = 0x7fc00000u;

/// Chan, Golub, LeVeque (1979).
fn merged(left: Node, right: Node, left_count: f32, right_count: f32) -> Node {
  let factor = rounded(vec4f(right_count / (left_count + right_count)));
  let delta = rounded(rounded(right.first.hi - left.first.hi) + rounded(right.first.lo - left.first.lo));
  let mean = add_to_pair(left.first, rounded(delta * factor));
  let between = rounded(rounded(delta * delta) * rounded(left_count * factor));
  let m2 = add_to_pair(add_pairs(left.second, right.second), between);
  // An infinite mean stays infinite on whichever side it is; two of opposite signs have no mean.
  let are_finite = is_finite(left.first.hi) & is_finite(right.first.hi);
  let hi = select(rounded(left.first.hi + right.first.hi), mean.hi, are_finite);
  return Node(Pair(hi, select(vec4f(), mean.lo, are_finite)), m2);
}

fn put_root(channel: u32, mean: vec2f, m2: f32) {
  if (params.flags & HAS_STATISTICS) != 0u {
    put_statistics(channel, mean, m2);
  }
  if (params.flags & HAS_RUNNING) != 0u {
    put_running(channel, mean.x, m2);
  }
}

fn put_statistics(channel: u32, mean: vec2f, m2: f32) {
  var invstd = 0.0;
  if params.values > 0u {
    let variance = m2 / f32(params.values);
    // WGSL's comparisons may take anything for a number.
    let is_finite = (bitcast<u32>(variance) & EXPONENT) != EXPONENT;
    var guarded = variance + params.eps;
    if (params.flags & CLAMPS) != 0u {
      guarded = select(variance, params.eps, is_finite && variance < params.eps);
    }
    // Squares beyond f32 make no finite result, which would be wrong.
    invstd = select(bitcast<f32>(NOT_A_NUMBER ^ params.zero), inverseSqrt(guarded), is_finite);
  }
  statistics[channel] = mean.x;
  statistics[params.channels + channel] = mean.y;
  statistics[2u * params.channels + channel] = invstd;
  statistics[3u * params.channels + channel] = 0.0;
}

fn put_running(channel: u32, mean: f32, m2: f32) {
  if params.values == 0u {
    next_mean[channel] = running_mean[channel];
    next_var[channel] = running_var[channel];
    return;
  }
  let correction = select(1u, 0u, (params.flags & IS_BIASED) != 0u);
  let var_batch = m2 / f32(params.values - correction);
  next_mean[channel] = fma(params.momentum, mean, params.rest * running_mean[channel]);
  next_var[channel] = fma(params.momentum, var_batch, params.rest * running_var[channel]);
}
