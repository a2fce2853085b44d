import { expect, it } from 'vitest';
import { isAtLeast, run, versionOf } from './tools.mjs';

it.each([
  ['20.19.0', '20.19'],
  ['20.20.2', '20.19'],
  ['22.0.0', '20.19'],
  ['1.89.0', '1.89'],
  ['1.100.0', '1.89'],
  ['0.13.0', '0.13.0'],
])('%s_is_at_least_%s', (version, least) => {
  expect(isAtLeast(version, least)).toBe(true);
});

it.each([
  ['20.18.9', '20.19'],
  ['18.20.0', '20.19'],
  ['1.63.0', '1.89'],
  ['0.12.9', '0.13.0'],
  [null, '1.0'],
])('%s_is_not_at_least_%s', (version, least) => {
  expect(isAtLeast(version, least)).toBe(false);
});

it('a_program_that_does_not_exist_has_no_version', () => {
  expect(versionOf('no-such-program-anywhere')).toBeNull();
});

it('a_program_tells_its_version', () => {
  expect(versionOf('node')).toBe(process.versions.node);
});

it('a_command_that_fails_says_so_and_keeps_its_words', () => {
  const ended = run('node', ['--eval', 'console.error("why"); process.exit(3)'], { quiet: true });
  expect(ended).toEqual({ ok: false, output: 'why', stdout: '' });
});
