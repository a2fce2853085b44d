/** The lint rules that keep the layers apart do find what breaks them. */

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
  ['tests/packaging/consumer.ts', '../../ts/wasm/generated/cpu_glue.js'],
])('%s_may_not_import_%s', async (path, specifier) => {
  expect(await brokenImportRules(path, imports(specifier))).toContain('import-x/no-restricted-paths');
});

it('a_file_may_not_import_itself_by_way_of_another', async () => {
  // `tensor.ts` imports it already.
  expect(await brokenImportRules('ts/tensor/storage.ts', imports('./tensor.ts'))).toContain('import-x/no-cycle');
});
