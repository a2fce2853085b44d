/** Programs that once showed a fault: `fixtures/` has one file for each, named by what was wrong. */

import { readdirSync, readFileSync } from 'node:fs';
import { devices } from 'syncbn';
import { afterAll, expect, it } from 'vitest';
import type { Program } from './program.ts';
import { runProgram } from './run.ts';

const folder = new URL('fixtures/', import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith('.json'));

afterAll(() => devices.close());

it('there_are_fixtures', () => expect(files.length).toBeGreaterThan(0));

it.each(files)('%s goes well', async (name) => {
  await runProgram(JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as Program);
});
