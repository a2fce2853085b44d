/** Data in memory that threads share is taken on every kind of device, as any other. */

import { tensor } from 'syncbn';
import { describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds } from '../support/device_kinds.ts';

describe.each(deviceKinds)('memory that threads share, on %s', (device) => {
  it.each(['contiguous', 'channels_last'] as const)('is copied into a tensor, %s', async (memoryFormat) => {
    // Pages that are not isolated have no `SharedArrayBuffer` by name.
    const { buffer } = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const data = new Float32Array(buffer, 8, 12).fill(1);
    data.set([1, 2, 3, 4]);
    const x = tensor(data, [2, 3, 2], { device, memoryFormat });
    const expected = data.slice();
    await x.copy_(data);
    expectSameBits(await x.data(), expected);
    data.fill(9);
    expectSameBits(await x.data(), expected);
    expect(expected[3]).toBe(4);
  });
});
