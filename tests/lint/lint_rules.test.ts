/** The lint rules that keep the layers apart, and those of names and exemptions, do find what breaks them. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ESLint } from 'eslint';
import { expect, it, vi } from 'vitest';

// The first text makes ESLint read the types of the whole project.
vi.setConfig({ testTimeout: 120_000 });

const root = process.cwd();
const eslint = new ESLint({ cwd: root });

/** The rules about imports that an existing file would break if it held this text. */
async function brokenImportRules(path: string, text: string): Promise<string[]> {
  const [result] = await eslint.lintText(text, { filePath: join(root, path) });
  if (result === undefined) throw new Error(`${path} is not linted`);
  return result.messages.map(({ ruleId, message }) => ruleId ?? message).filter((rule) => /import|Parsing/.test(rule));
}

const imports = (specifier: string): string => `import * as imported from '${specifier}';\nexport { imported };\n`;

it.each([
  ['ts/tensor/tensor.ts', '../device/device.ts'],
  ['ts/nn/module.ts', '../tensor/tensor.ts'],
  ['ts/sync/meeting_point.ts', '../errors.ts'],
  ['ts/wasm/cpu_kernels.ts', './generated/cpu_glue.js'],
  ['ts/safetensors/header.ts', '../errors.ts'],
  ['ts/tfjs/tape.ts', '../index.ts'],
])('%s_may_import_%s', async (path, specifier) => {
  expect(await brokenImportRules(path, imports(specifier))).toEqual([]);
});

it.each([
  ['ts/device/device.ts', '../nn/module.ts'],
  ['ts/tensor/tensor.ts', '../nn/module.ts'],
  ['ts/nn/module.ts', '../parallel/data_parallel.ts'],
  ['ts/nn/module.ts', '../wasm/cpu_kernels.ts'],
  ['ts/sync/meeting_point.ts', '../tensor/tensor.ts'],
  ['ts/parallel/scatter.ts', '../index.ts'],
  ['ts/errors.ts', './device/device.ts'],
  ['ts/device/cpu_device.ts', '../wasm/generated/cpu_glue.js'],
  ['ts/tfjs/tape.ts', '../errors.ts'],
  ['ts/tfjs.ts', './index.ts'],
  ['tests/packaging/consumer.ts', '../../ts/wasm/generated/cpu_glue.js'],
])('%s_may_not_import_%s', async (path, specifier) => {
  expect(await brokenImportRules(path, imports(specifier))).toContain('import-x/no-restricted-paths');
});

it('a_file_may_not_import_itself_by_way_of_another_not_even_a_type', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cycle-'));
  try {
    writeFileSync(join(folder, 'a.ts'), "import type { B } from './b.ts';\nexport type A = B;\n");
    writeFileSync(join(folder, 'b.ts'), "import type { A } from './a.ts';\nexport type B = A | null;\n");
    const parameters = [join(root, 'node_modules/oxlint/bin/oxlint'), '--config', join(root, '.oxlintrc.json'), folder];
    const { stdout, status } = spawnSync(process.execPath, parameters, { encoding: 'utf8' });
    expect(stdout).toContain('no-cycle');
    expect(status).toBe(1);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it.each([
  ['scripts/BuildWasm.mjs', '', 'check-file/filename-naming-convention'],
  ['scripts/build-wasm.mjs', '', 'check-file/filename-naming-convention'],
  ['scripts/utils.mjs', '', 'check-file/filename-blocklist'],
  ['ts/nn/index.mjs', '', 'check-file/filename-blocklist'],
  ['scripts/tools.mjs', '/* eslint-disable no-var */ var a = 1;', 'eslint-comments/require-description'],
  ['ts/nn/module.ts', '// @ts-ignore', '@typescript-eslint/ban-ts-comment'],
  ['package-lock.json', '{ "resolved": "https://example.org/a.tgz" }', 'no-restricted-syntax'],
])('in_%s_%j_is_refused_by_%s', async (path, text, rule) => {
  const [result] = await eslint.lintText(text, { filePath: join(root, path) });
  expect(result?.messages.map(({ ruleId }) => ruleId)).toContain(rule);
});
