import { init } from 'syncbn';
import { createLocalGroups, type ProcessGroup } from 'syncbn/distributed';
import { beforeAll, describe, expect, it } from 'vitest';

beforeAll(async () => {
  await init(['cpu:0', 'cpu:1', 'cpu:2']);
});

describe('createLocalGroups', () => {
  it('gives_the_bytes_of_all_in_order_of_ranks_as_they_were_at_the_call', async () => {
    const groups = await createLocalGroups(3);
    const gathers = groups.map((group) => {
      const bytes = Uint8Array.of(group.rank, 9);
      const gathered = group.allGather(bytes, 'x');
      bytes.fill(0);
      return gathered;
    });
    for (const all of await Promise.all(gathers)) {
      expect(all.map((bytes) => [...bytes])).toEqual([
        [0, 9],
        [1, 9],
        [2, 9],
      ]);
    }
  });

  it('matches_the_nth_exchange_of_a_tag_with_the_nth_of_the_others', async () => {
    const [a, b] = await createLocalGroups(2);
    const send = (group: ProcessGroup | undefined, value: number, tag: string): Promise<readonly Uint8Array[]> =>
      group?.allGather(Uint8Array.of(value), tag) ?? Promise.resolve([]);
    const own = [send(a, 1, 'x'), send(a, 2, 'x'), send(a, 3, 'y')];
    const other = [send(b, 6, 'y'), send(b, 4, 'x'), send(b, 5, 'x')];
    expect((await Promise.all(own)).map((all) => all.map(([value]) => value))).toEqual([
      [1, 4],
      [2, 5],
      [3, 6],
    ]);
    await Promise.all(other);
  });

  it.each([0, -1, 1.5, Number.NaN, '2'])('refuses_%j_ranks', async (size) => {
    await expect(createLocalGroups(size as number)).rejects.toThrow('expected a positive number of ranks');
  });

  it.each([0, -1, Number.NaN, '2'])('refuses_%j_seconds', async (timeoutSeconds) => {
    const options = { timeout: timeoutSeconds as number };
    await expect(createLocalGroups(2, options)).rejects.toThrow('expected more than 0 seconds');
  });

  it('refuses_what_are_no_bytes_and_no_tag', async () => {
    const [group] = await createLocalGroups(1);
    await expect(group?.allGather('x' as never, 'tag')).rejects.toThrow('expected bytes as a Uint8Array, got a string');
    await expect(group?.allGather(Uint8Array.of(1), 1 as never)).rejects.toThrow('expected a tag, got a number');
  });
});
