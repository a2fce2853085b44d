import { expect, test } from 'vitest';
import { interleave } from './interleave.ts';

/** Runs contenders that are done after a number of measurements each, and tells the order they were measured in. */
async function orderOf(needed: Readonly<Record<string, number>>): Promise<string> {
  const measured: string[] = [];
  const count = (name: string) => measured.filter((other) => other === name).length;
  await interleave(
    Object.keys(needed),
    (name) => count(name) >= (needed[name] ?? 0),
    (name) => Promise.resolve(void measured.push(name)),
  );
  return measured.join('');
}

test('contenders take turns in the order given', async () => {
  expect(await orderOf({ A: 3, B: 3, C: 3 })).toBe('ABCABCABC');
});

test('who is done leaves the rounds to the others', async () => {
  expect(await orderOf({ A: 1, B: 3, C: 2 })).toBe('ABCBCB');
});

test('who needs nothing is never measured', async () => {
  expect(await orderOf({ A: 0, B: 1 })).toBe('B');
  expect(await orderOf({})).toBe('');
});

test('a contender that is finished by the measurement of another is not measured again', async () => {
  let left = 3;
  await interleave(
    ['A', 'B'],
    () => left === 0,
    () => Promise.resolve(void (left -= 1)),
  );
  expect(left).toBe(0);
});
