import type { DeviceKind } from '../../ts/device/device.ts';

/**
 * The kinds of device that the public suite runs on: `describe.each(deviceKinds)`.
 *
 * A kind stands here because it must exist. Where it does not, tests fail; they are never skipped.
 */
export const deviceKinds: readonly DeviceKind[] = ['cpu', 'worker'];

/** Names of the first `count` devices of a kind, such as `cpu:0`, `cpu:1`. */
export function deviceNames(kind: DeviceKind, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${kind}:${i}`);
}
