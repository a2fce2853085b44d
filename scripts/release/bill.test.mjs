import { expect, it } from 'vitest';
import { isAllowed } from './bill.mjs';

it.each([
  ['MIT', true],
  ['GPL-3.0', false],
  ['MIT OR GPL-3.0', true],
  ['GPL-3.0/MIT', true],
  ['MIT AND GPL-3.0', false],
  ['(MIT OR GPL-3.0) AND Apache-2.0', true],
  ['(GPL-2.0 OR GPL-3.0) AND MIT', false],
  ['none', false],
])('the_licence_%s_is_allowed: %s', (licence, answer) => {
  expect(isAllowed(licence, ['MIT', 'Apache-2.0'])).toBe(answer);
});
