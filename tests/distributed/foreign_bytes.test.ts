/** Synchronized layers whose group gives them what no rank has sent. */

import { init, SynchronizedBatchNorm1d, type Tensor, type ProcessGroup as LayerGroup } from 'syncbn';
import { runRanks } from 'syncbn/distributed';
import { beforeAll, describe, expect, it } from 'vitest';
import { batch } from './layer_in_group.ts';

beforeAll(async () => {
  await init(['cpu:0', 'cpu:1', 'cpu:2']);
});

describe('a group that gives other bytes than a layer has sent', () => {
  /** Two ranks of which rank 0 gets what `change` makes of the bytes of rank 1 in exchanges of that name. */
  async function withChanged(step: string, change: (bytes: Uint8Array) => unknown): Promise<unknown> {
    const [error] = await runRanks(
      2,
      async (group) => {
        const allGather: LayerGroup['allGather'] = async (bytes, tag) => {
          const [own, other] = await group.allGather(bytes, tag);
          if (group.rank !== 0 || !tag.includes(step)) return [own, other] as Uint8Array[];
          return [own, change(other ?? bytes)] as Uint8Array[];
        };
        const { rank, size } = group;
        // Without abort(), so that rank 1 is not disturbed.
        const layer = new SynchronizedBatchNorm1d(2, { processGroup: { rank, size, allGather } });
        const y = await layer.forward(batch(3)).catch((error: unknown) => error);
        if (y instanceof Error) return y;
        return (y as Tensor).backward(batch(3, false)).then(
          () => null,
          (error: unknown) => error,
        );
      },
      { timeout: 1 },
    );
    return error;
  }

  const flipped = (at: number) => (bytes: Uint8Array) => bytes.map((byte, i) => (i === at ? byte ^ 255 : byte));

  it.each<[string, string, (bytes: Uint8Array) => unknown, string]>([
    ['nothing', 'forward', () => new Uint8Array(), 'other bytes from rank 1'],
    ['noise', 'forward', () => new Uint8Array(50).fill(77), 'other bytes from rank 1'],
    ['a header that is cut off', 'forward', (bytes) => bytes.subarray(0, 20), 'other bytes from rank 1'],
    ['no bytes', 'forward', () => 'x', 'one of each rank, got 1'],
    [
      'no partial',
      'forward, again',
      (bytes) => bytes.subarray(0, 4 + new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true)),
      'others from rank 0',
    ],
    [
      'another kind of partial',
      'backward',
      (bytes) => bytes.map((byte, i) => (i === 4 ? 1 : byte)),
      'expected a partial of sums, got one of moments',
    ],
    ['the mark of something else', 'backward', flipped(0), 'mark of a partial'],
    ['other samples', 'backward', flipped(32), 'expected a partial of samples 3 to 5'],
    ['a partial of rank 0', 'backward', flipped(24), 'expected a partial of samples 3 to 5'],
    ['a partial that is cut off', 'backward', (bytes) => bytes.subarray(0, bytes.length - 3), 'partial'],
  ])('is_found_out: %s', async (_, step, change, text) => {
    const error = await withChanged(step, change);
    expect(error).toBeInstanceOf(Error);
    expect(String(error)).toContain(text);
  });

  it('the_control_finds_nothing', async () => {
    expect(await withChanged('no step', () => new Uint8Array())).toBeNull();
  });

  it('other_views_of_the_same_bytes_are_taken', async () => {
    const shifted = (bytes: Uint8Array): Uint8Array => new Uint8Array([0, ...bytes]).subarray(1);
    expect(await withChanged('', shifted)).toBeNull();
  });
});
