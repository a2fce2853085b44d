/**
 * How many tests a step ran, and the names of those that failed. A runner that ran none, or that failed without a failed test,
 * counts as one failure; so does each test that was left out, since a test that does not run cannot fail.
 */

import { existsSync, readFileSync } from 'node:fs';

/** A check says yes or no. */
export function countCheck({ ok }) {
  return { passed: ok ? 1 : 0, failed: ok ? 0 : 1, names: [] };
}

/**
 * Vitest's JSON report.
 * @param {{ ok: boolean }} ended - how the runner ended
 * @param {string} report - the file it was told to write
 */
export function countVitest({ ok }, report) {
  if (!existsSync(report)) return settle(ok, 0, 0, 0);
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults } = JSON.parse(
    readFileSync(report, 'utf8'),
  );
  return settle(ok, numPassedTests, numFailedTests, numPendingTests + numTodoTests, testResults.flatMap(failuresIn));
}

/** The failed tests of a file, or the file when it failed as a whole. */
function failuresIn({ name, status, assertionResults }) {
  const failed = assertionResults.filter((test) => test.status === 'failed');
  if (failed.length === 0 && status === 'failed') return [name];
  return failed.map(({ fullName }) => `${name}: ${fullName}`);
}

/** The closing lines of cargo's test programs, one for each. Stable Rust has no report for machines. */
export function countCargoTest({ ok, output }) {
  const closing = /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;/gm;
  const counts = [...output.matchAll(closing)].map((line) => line.slice(1).map(Number));
  const sum = (column) => counts.reduce((total, row) => total + row[column], 0);
  const names = [...output.matchAll(/^test (.+) \.\.\. FAILED$/gm)].map(([, name]) => name);
  return settle(ok, sum(0), sum(1), sum(2), names);
}

/** The closing line of the fuzzer: each program is a test. */
export function countFuzz({ ok, output }) {
  const [, programs = '0', faults = '0'] = /^fuzz: \d+ steps in (\d+) programs, (\d+) faults/m.exec(output) ?? [];
  return settle(ok, Number(programs) - Number(faults), Number(faults), 0);
}

function settle(ok, passed, failed, leftOut, names = []) {
  if (leftOut > 0) console.log(`${leftOut} tests were left out`);
  const failures = failed + leftOut;
  return { passed, failed: failures === 0 && (!ok || passed === 0) ? 1 : failures, names };
}
