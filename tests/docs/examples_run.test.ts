/** Every program in README and in the pages of `docs/` runs as it stands, and prints what its comments say. */

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { formatWithOptions } from 'node:util';
import { devices } from 'syncbn';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { pages, type Program, programsOf } from './pages.ts';

const programs = pages().flatMap(programsOf);
const folder = resolve('build', 'docs', 'programs');

beforeAll(() => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
});

afterEach(async () => {
  vi.restoreAllMocks();
  await devices.close();
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe.each(programs.map((program) => [`${program.page}:${program.line}`, program] as const))(
  '%s',
  (_name, program) => {
    it('runs_and_prints_what_it_says', async () => {
      const printed = await run(program);
      expect(printed).toEqual(program.prints);
    });
  },
);

it('the_first_pages_have_programs', () => {
  const count = (page: string): number => programs.filter((program) => program.page === page).length;
  expect(count('README.md')).toBeGreaterThanOrEqual(3);
  expect(programs.length).toBeGreaterThan(15);
});

/** Lines that the program prints. Imports of the package are those of the test: the sources. */
async function run({ page, line, language, code }: Program): Promise<string[]> {
  const printed: string[] = [];
  vi.spyOn(console, 'log').mockImplementation((...values: unknown[]) => {
    printed.push(formatWithOptions({ breakLength: Infinity }, ...values));
  });
  const file = resolve(folder, `${page.replaceAll(/\W/g, '_')}_${line}.${language}`);
  writeFileSync(file, code);
  await import(/* @vite-ignore */ file);
  return printed;
}
