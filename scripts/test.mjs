/**
 * `npm test [-- STEP...]`: sets up, builds, runs every test, and ends with one line that sums them. Every step runs even when one
 * before it failed, so that one run tells all there is to mend; only without tools or a build is there nothing to run.
 */

import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { runStep } from './test/run_step.mjs';
import { steps } from './test/steps.mjs';
import { root } from './tools.mjs';

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => steps.every((step) => step.name !== name));
if (unknown.length > 0) {
  console.error(`no step is called ${unknown.join(', ')}; there are: ${steps.map((step) => step.name).join(', ')}`);
  process.exit(2);
}
const chosen = wanted.length === 0 ? steps : steps.filter((step) => wanted.includes(step.name));

// What an earlier run reported must not be counted for a runner that fails to start in this one.
const reports = join(root, 'build', 'reports');
rmSync(reports, { recursive: true, force: true });
mkdirSync(reports, { recursive: true });

const results = [];
for (const step of chosen) {
  const result = await runStep(step);
  results.push(result);
  if (step.needed === true && result.failed > 0) break;
}

console.log('');
// Above the sums, so that the last lines of a long output tell what to mend.
for (const { name, names } of results) for (const test of names) console.log(`FAILED ${name}: ${test}`);
for (const { name, passed, failed, seconds } of results) {
  const words = `${passed} passed, ${failed} failed`.padStart(24);
  console.log(`${failed > 0 ? 'FAILED' : 'ok    '} ${name.padEnd(12)} ${words} ${seconds.toFixed(1).padStart(8)} s`);
}
const sum = (key) => results.reduce((total, result) => total + result[key], 0);
const left = chosen.length - results.length;
if (left > 0) console.log(`${left} steps were not run, because one that they need has failed`);
console.log(`${sum('passed')} passed, ${sum('failed')} failed`);
process.exitCode = sum('failed') > 0 || sum('passed') === 0 ? 1 : 0;
