/**
 * `node e2e/packages/matrix.mjs [--quick] [--only WORD] [--write]`: the packed package in one small project for each platform and tool. All give the same
 * sums. `--only` takes the rows whose name has the word, `--write` enters the table into `docs/platforms.md`.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from '../../scripts/tools.mjs';
import { expected, runRows } from './run_rows.mjs';

const file = join(root, 'docs', 'platforms.md');
const heading = '\n## What was run\n';

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    write: { type: 'boolean' },
  },
});
const isPart = values.quick || values.only !== '';
if (values.write && isPart)
  throw new RangeError('--write: expected neither --quick nor --only, since the table has all rows');

const results = await runRows({ quick: values.quick, only: values.only }, console.log);
const of = (outcome) => results.filter((result) => result.outcome === outcome);
for (const { name, reason } of of('not here')) console.log(`not run: ${name}: ${firstLine(reason)}`);
for (const { name, reason } of of('failed')) console.log(`FAILED: ${name}: ${firstLine(reason)}`);
const [passed, failed, left] = ['passed', 'failed', 'not here'].map((outcome) => of(outcome).length);
console.log(`matrix: ${passed} rows passed, ${failed} failed, ${left} cannot be installed here`);
if (values.write) write();
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;

/** Enters the results into the page. */
function write() {
  const [before] = readFileSync(file, 'utf8').split(heading);
  const cell = ({ kinds, outcome }, kind) => (!kinds.includes(kind) ? '–' : outcome === 'passed' ? 'yes' : 'no');
  const lines = results.map(
    (result) =>
      `| ${result.name} | ${result.version ?? '–'} | ${['cpu', 'worker', 'webgpu'].map((kind) => cell(result, kind)).join(' | ')} | ${remarkOf(result)} |`,
  );
  writeFileSync(
    file,
    `${before.trimEnd()}
${heading}
\`npm run matrix -- --write\` packs the package, installs it in a small project for each row and trains a step on two devices of each kind: forward, backward,
running statistics. *yes* says that the sum over all bits of the results is ${`\`${expected.cpu}\``}, on WebGPU ${`\`${expected.webgpu}\``}: the same in every row.

| platform or tool | version | \`cpu\` | \`worker\` | \`webgpu\` | remarks |
| --- | --- | --- | --- | --- | --- |
${lines.join('\n')}
`,
  );
}

function remarkOf({ outcome, reason }) {
  const text = outcome === 'not here' ? `not run: ${firstLine(reason)}` : firstLine(reason);
  return text.replaceAll('|', '\\|').slice(0, 240);
}

function firstLine(text) {
  return text.split('\n')[0] ?? '';
}
