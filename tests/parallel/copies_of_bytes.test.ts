/** How often the bytes of a batch are copied on their way to the devices and back. */

import { DataParallel, type Device, devices, init, noGrad, tensor } from 'syncbn';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { deviceKinds, deviceNames } from '../support/device_kinds.ts';
import { randomArray } from '../support/random.ts';
import { Recorder } from './modules.ts';

/** Values that a device has copied from one place to another; what is given away instead of copied does not count. */
function valuesCopied(name: string): () => number {
  const device: Device = devices.get(name);
  const within = vi.spyOn(device, 'copyRows');
  const out = vi.spyOn(device, 'readRows');
  const into = vi.spyOn(device, 'writeRows');
  return () => {
    // Rows from another thread are read there and written here, which the other two count; memory of one thread needs one copy.
    const local = within.mock.calls.filter(([source]) => source.buffer.device === device || device.kind === 'cpu');
    return (
      local.reduce((sum, [, , rowLength, rows]) => sum + rowLength * rows, 0) +
      out.mock.calls.reduce((sum, [, rowLength, rows]) => sum + rowLength * rows, 0) +
      into.mock.calls.reduce((sum, [, , rowLength, rows]) => sum + rowLength * rows, 0)
    );
  };
}

describe.each(deviceKinds)('a batch of B bytes over two devices of kind %s', (kind) => {
  const names = deviceNames(kind, 2);
  const shape = [8, 64, 32];
  const total = 8 * 64 * 32;

  beforeAll(() => init(names));

  it.each([0, 1, -1])('is copied three times at most by scatter and gather along dimension %d', async (dim) => {
    const net = new DataParallel(new Recorder(), { deviceIds: names, dim });
    const x = tensor(randomArray(1, total), shape, { device: names[0] ?? '' });
    const counts = names.map(valuesCopied);
    const y = (await noGrad(() => net.forward(x))) as typeof x;
    const copied = counts.reduce((sum, count) => sum + count(), 0);
    vi.restoreAllMocks();
    expect(await y.data()).toEqual(await x.data());
    // One thread copies every piece once each way; between two, half of the batch is read and written instead.
    expect(copied / total).toBe(kind === 'cpu' ? 2 : 3);
  });
});
