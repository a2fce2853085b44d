/**
 * `node e2e/packages/matrix.mjs [--quick] [--only WORD] [--write]`: the packed package in one small project for each platform and tool. All give the same
 * sums. `--only` takes the rows whose name has the word, `--write` enters what was run into the table of `docs/platforms.md`.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from '../../scripts/tools.mjs';
import { expected, rowNames, runRows } from './run_rows.mjs';

const file = join(root, 'docs', 'platforms.md');
const heading = '\n## What was run\n';

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    write: { type: 'boolean' },
  },
});
if (values.write && values.quick)
  throw new RangeError('--write: expected no --quick, which leaves out kinds of devices');

const results = await runRows({ quick: values.quick, only: values.only }, console.log);
const of = (outcome) => results.filter((result) => result.outcome === outcome);
for (const { name, reason } of of('not here')) console.log(`not run: ${name}: ${firstLine(reason)}`);
for (const { name, reason } of of('failed')) console.log(`FAILED: ${name}: ${firstLine(reason)}`);
const [passed, failed, left] = ['passed', 'failed', 'not here'].map((outcome) => of(outcome).length);
console.log(`matrix: ${passed} rows passed, ${failed} failed, ${left} cannot be installed here`);
if (values.write) write();
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;

/** Enters the results into the page; rows that were not run stay as they are. */
function write() {
  const [before, table = ''] = readFileSync(file, 'utf8').split(heading);
  const lines = new Map([...table.matchAll(/^\| (.*?) \| .*$/gm)].map(([line, name]) => [name, line]));
  for (const result of results) lines.set(result.name, lineOf(result));
  const inOrder = rowNames({ quick: false }).flatMap((name) => lines.get(name) ?? []);
  writeFileSync(
    file,
    `${before.trimEnd()}
${heading}
\`npm run matrix -- --write\` packs the package, installs it in a small project for each row and trains a step on two devices of each kind: forward, backward,
running statistics. *yes* says that the sum over all bits of the results is \`${expected.cpu}\`, on WebGPU \`${expected.webgpu}\`: the same in every row.

| platform or tool | version | \`cpu\` | \`worker\` | \`webgpu\` | remarks |
| --- | --- | --- | --- | --- | --- |
${inOrder.join('\n')}
`,
  );
}

function lineOf(result) {
  const { name, version, kinds, outcome } = result;
  const cells = ['cpu', 'worker', 'webgpu'].map((kind) => {
    if (!kinds.includes(kind)) return '–';
    return outcome === 'passed' ? 'yes' : 'no';
  });
  return `| ${[name, version ?? '–', ...cells, remarkOf(result)].join(' | ')} |`;
}

function remarkOf({ outcome, reason }) {
  const text = outcome === 'not here' ? `not run: ${firstLine(reason)}` : firstLine(reason);
  return text.replaceAll('|', '\\|').slice(0, 240);
}

function firstLine(text) {
  return text.split('\n')[0] ?? '';
}
