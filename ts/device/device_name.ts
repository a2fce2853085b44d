/** Names that people give devices elsewhere. */

import type { DeviceKind } from './device.ts';

/** What other libraries and people call a device of each kind. */
const synonyms: Readonly<Record<DeviceKind, readonly string[]>> = {
  cpu: ['cpu', 'host'],
  worker: ['worker', 'workers', 'webworker', 'thread', 'threads'],
  webgpu: [
    'webgpu',
    'gpu',
    'wgpu',
    'cuda',
    'mps',
    'metal',
    'xpu',
    'hip',
    'rocm',
    'vulkan',
    'opencl',
    'directml',
    'dml',
  ],
};

/**
 * The name that was meant by one that is not known: `webgpu:1` for `cuda:1`, `cpu:0` for `CPU0`.
 * @param count - how many devices of a kind there may be.
 * @returns `null` when nothing is like it.
 */
export function suggestDevice(name: string, count: number): string | null {
  const [, word = '', digits = ''] = /^\s*([a-z _-]*[a-z])[ :_-]?(\d*)\s*$/i.exec(name) ?? [];
  const plain = word.toLowerCase().replace(/[ _-]/g, '');
  const kind = Object.keys(synonyms).find((each) => synonyms[each as DeviceKind].includes(plain));
  if (kind === undefined || Number(digits) >= count) {
    return null;
  }
  return digits === '' ? kind : `${kind}:${Number(digits)}`;
}
