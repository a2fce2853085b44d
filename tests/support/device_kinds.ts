import type { DeviceKind, Numerics } from '../../ts/device/device.ts';

/**
 * The kinds of device that the public suite runs on: `describe.each(deviceKinds)`.
 *
 * A kind stands here because it must exist. Where it does not, tests fail; they are never skipped.
 */
export const deviceKinds: readonly DeviceKind[] = ['cpu', 'worker', 'webgpu'];

/** The numerics that a kind has: `torch` reproduces PyTorch's CPU kernels, and other kinds refuse it. */
export function numericsOf(kind: DeviceKind): readonly Numerics[] {
  return kind === 'webgpu' ? ['stable'] : ['stable', 'torch'];
}

/**
 * The one device whose bits several of a kind must give. CPU devices compute alike, whatever thread they are in; a GPU does as
 * the others of its adapter.
 */
export function oneDeviceOf(kind: DeviceKind): string {
  return kind === 'webgpu' ? 'webgpu:0' : 'cpu:0';
}

/** Names of the first `count` devices of a kind, such as `cpu:0`, `cpu:1`. */
export function deviceNames(kind: DeviceKind, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${kind}:${i}`);
}
