/** Runs one step: shows its output as it comes and keeps it to be counted. */

import { spawn } from 'node:child_process';
import { root, toolEnvironment } from '../tools.mjs';

/**
 * @param {import('./steps.mjs').Step} step - the step
 * @returns {Promise<{ name: string, passed: number, failed: number, names: string[], seconds: number }>} how it went,
 * with the names of the tests that failed
 */
export async function runStep(step) {
  console.log(`\n── ${step.name} ── npm run ${step.script}`);
  const start = performance.now();
  const ended = await runShown('npm', ['run', '--silent', step.script]);
  const seconds = (performance.now() - start) / 1000;
  const { passed, failed, names } = step.count(ended);
  if (failed > 0) console.log(`── ${step.name} failed`);
  return { name: step.name, passed, failed, names, seconds };
}

function runShown(command, parameters) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, parameters, {
      cwd: root,
      env: toolEnvironment(),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      output += text;
      process.stdout.write(text);
    });
    child.on('error', reject);
    child.on('close', (status) => resolve({ ok: status === 0, output }));
  });
}
