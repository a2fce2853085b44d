// target = a + b. Twin: `crates/core/src/add.rs`. Dispatch: x · y · 64 ≥ vectors.

struct Params {
  /// Vectors of the target, the last of which may be incomplete.
  vectors: u32,
}

/// Which operands are the target itself.
override A_IS_TARGET: bool = false;
override B_IS_TARGET: bool = false;

@group(0) @binding(0) var<uniform> params: Params;
/// As long as the target.
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> sum: array<vec4f>;

@compute @workgroup_size(64)
fn add(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * groups.x * 64u + id.x;
  if i >= params.vectors {
    return;
  }
  var left = vec4f();
  if A_IS_TARGET {
    left = sum[i];
  } else {
    left = a[i];
  }
  var right = vec4f();
  if B_IS_TARGET {
    right = sum[i];
  } else {
    right = b[i];
  }
  sum[i] = left + right;
}
