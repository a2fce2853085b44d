import { expect, it } from 'vitest';
import { loadOnce } from './load_once.ts';

it('loads_once_and_lets_all_go_on_in_the_order_in_which_they_asked', async () => {
  const loads: ((value: object) => void)[] = [];
  const file = loadOnce(() => new Promise<object>((resolve) => loads.push(resolve)));
  const order: number[] = [];
  const waiting = [0, 1, 2].map(async (asker) => {
    const got = await file();
    order.push(asker);
    return got;
  });
  const value = {};
  expect(loads).toHaveLength(1);
  loads[0]?.(value);
  expect(await Promise.all(waiting)).toEqual([value, value, value]);
  expect(order).toEqual([0, 1, 2]);
  expect(file()).toBe(value);
});

it('tries_again_after_a_failure', async () => {
  const answers = [Promise.reject(new Error('offline')), Promise.resolve({ there: true })];
  const file = loadOnce(() => answers.shift() ?? Promise.reject(new Error('asked too often')));
  await expect(file()).rejects.toThrow('offline');
  expect(await file()).toEqual({ there: true });
});
