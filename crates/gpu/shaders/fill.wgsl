// target = value. Twin: `fill` of a slice. Dispatch: x · y · 64 ≥ vectors.

struct Params {
  /// Vectors of the target, the last of which may be incomplete.
  vectors: u32,
  value: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
/// Any length.
@group(0) @binding(1) var<storage, read_write> target_values: array<vec4f>;

@compute @workgroup_size(64)
fn fill(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * groups.x * 64u + id.x;
  if i < params.vectors {
    target_values[i] = vec4f(params.value);
  }
}
