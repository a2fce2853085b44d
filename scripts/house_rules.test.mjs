import { expect, it } from 'vitest';
import { complaintsAbout } from './house_rules.mjs';

// Put together here, so that this file does not break the rules itself.
const disable = `// ${'eslint'}-disable-next-line no-console`;
const ignore = `// @ts${'-ignore'}`;

it.each([
  ['ts/nn/batch_norm.ts', ''],
  ['ts/nn/batch_norm.test.ts', ''],
  ['ts/index.ts', ''],
  ['crates/core/src/lib.rs', ''],
  ['crates/gpu/shaders/normalize.wgsl', ''],
  ['eslint.config.js', ''],
  ['README.md', ''],
  ['ts/nn/module.ts', `${disable} -- the warning is part of the design\n`],
  ['package-lock.json', '{ "version": "1.0.0" }'],
])('nothing_is_wrong_with_%s', (path, text) => {
  expect(complaintsAbout(path, text)).toEqual([]);
});

it.each([
  ['ts/nn/BatchNorm.ts', '', 'snake_case'],
  ['ts/nn/batch-norm.ts', '', 'snake_case'],
  ['ts/nn/utils.ts', '', 'says nothing'],
  ['ts/nn/index.ts', '', 'barrel'],
  ['ts/nn/module.ts', `${disable}\n`, 'without a reason'],
  ['ts/nn/module.ts', `${ignore}\n`, 'hides an error'],
  ['package-lock.json', '{ "resolved": "https://example.org/a.tgz" }', 'registry'],
])('%s_breaks_a_rule', (path, text, complaint) => {
  expect(complaintsAbout(path, text)).toEqual([expect.stringContaining(complaint)]);
});
