/** A device of the fastest adapter, with all that it grants. */

/** @throws Error where there is no adapter. */
export async function requestDevice(): Promise<{ readonly device: GPUDevice; readonly info: GPUAdapterInfo }> {
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (adapter === null) throw new Error('WebGPU has no adapter here');
  const { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupStorageSize, maxComputeWorkgroupSizeX } =
    adapter.limits;
  const { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupsPerDimension } = adapter.limits;
  const requiredLimits = {
    maxBufferSize,
    maxStorageBufferBindingSize,
    maxComputeWorkgroupStorageSize,
    maxComputeWorkgroupSizeX,
    maxComputeInvocationsPerWorkgroup,
    maxComputeWorkgroupsPerDimension,
  };
  return { device: await adapter.requestDevice({ requiredLimits }), info: adapter.info };
}
