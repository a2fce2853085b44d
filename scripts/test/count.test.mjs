import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { countCargoTest, countCheck, countFuzz, countVitest } from './count.mjs';

const program = (passed, failed, ignored) =>
  `test result: ok. ${passed} passed; ${failed} failed; ${ignored} ignored; 0 measured; 0 filtered out; finished in 0.01s\n`;

describe('countCheck', () => {
  it.each([
    { ok: true, passed: 1, failed: 0 },
    { ok: false, passed: 0, failed: 1 },
  ])('counts_one_when_ok_is_$ok', ({ ok, ...expected }) => {
    expect(countCheck({ ok })).toMatchObject(expected);
  });
});

describe('countCargoTest', () => {
  it.each([
    { claim: 'sums_all_programs', ok: true, output: program(3, 0, 0) + program(4, 0, 0), passed: 7, failed: 0 },
    { claim: 'counts_failed_tests', ok: false, output: program(3, 2, 0), passed: 3, failed: 2 },
    { claim: 'counts_an_ignored_test_as_failed', ok: true, output: program(3, 0, 1), passed: 3, failed: 1 },
    { claim: 'counts_a_run_without_tests_as_failed', ok: true, output: program(0, 0, 0), passed: 0, failed: 1 },
    { claim: 'counts_a_program_that_does_not_compile', ok: false, output: '', passed: 0, failed: 1 },
    { claim: 'counts_a_crash_after_passed_tests', ok: false, output: program(3, 0, 0), passed: 3, failed: 1 },
  ])('$claim', ({ ok, output, passed, failed }) => {
    expect(countCargoTest({ ok, output })).toMatchObject({ passed, failed });
  });
});

it('countCargoTest_names_the_failed_tests', () => {
  const output = 'test sums::are_exact ... ok\ntest tree::is_one ... FAILED\n' + program(1, 1, 0);
  expect(countCargoTest({ ok: false, output }).names).toEqual(['tree::is_one']);
});

describe('countFuzz', () => {
  const line = (programs, faults) => `fuzz: 900 steps in ${programs} programs, ${faults} faults, seed 1, 60 s\n`;

  it.each([
    { claim: 'counts_programs', ok: true, output: line(80, 0), passed: 80, failed: 0 },
    { claim: 'counts_faults_as_failed', ok: false, output: line(80, 1), passed: 79, failed: 1 },
    { claim: 'counts_a_run_without_programs_as_failed', ok: true, output: line(0, 0), passed: 0, failed: 1 },
    { claim: 'counts_a_fuzzer_that_died_as_failed', ok: false, output: '', passed: 0, failed: 1 },
  ])('$claim', ({ ok, output, passed, failed }) => {
    expect(countFuzz({ ok, output })).toMatchObject({ passed, failed });
  });
});

describe('countVitest', () => {
  let folder;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'syncbn-count-'));
  });
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  const report = (numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults = []) => {
    const file = join(folder, 'report.json');
    writeFileSync(file, JSON.stringify({ numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults }));
    return file;
  };

  it.each([
    { claim: 'counts_passed_tests', ok: true, numbers: [5, 0, 0, 0], passed: 5, failed: 0 },
    { claim: 'counts_failed_tests', ok: false, numbers: [5, 2, 0, 0], passed: 5, failed: 2 },
    { claim: 'counts_a_skipped_and_a_planned_test_as_failed', ok: true, numbers: [5, 0, 1, 1], passed: 5, failed: 2 },
    { claim: 'counts_a_run_without_tests_as_failed', ok: true, numbers: [0, 0, 0, 0], passed: 0, failed: 1 },
    { claim: 'counts_a_file_that_cannot_be_imported', ok: false, numbers: [5, 0, 0, 0], passed: 5, failed: 1 },
  ])('$claim', ({ ok, numbers, passed, failed }) => {
    expect(countVitest({ ok }, report(...numbers))).toMatchObject({ passed, failed });
  });

  it('names_the_failed_tests_and_the_files_that_cannot_be_imported', () => {
    const testResults = [
      {
        name: 'a.test.ts',
        status: 'failed',
        assertionResults: [
          { fullName: 'adds', status: 'passed' },
          { fullName: 'divides', status: 'failed' },
        ],
      },
      { name: 'b.test.ts', status: 'failed', assertionResults: [] },
      { name: 'c.test.ts', status: 'passed', assertionResults: [{ fullName: 'is', status: 'passed' }] },
    ];
    const { names } = countVitest({ ok: false }, report(2, 1, 0, 0, testResults));
    expect(names).toEqual(['a.test.ts: divides', 'b.test.ts']);
  });

  it('counts_a_runner_that_wrote_no_report_as_failed', () => {
    expect(countVitest({ ok: true }, join(folder, 'absent.json'))).toMatchObject({ passed: 0, failed: 1 });
  });
});
