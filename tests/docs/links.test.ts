/** README is short, and what it and the pages of `docs/` link to is there. */

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { pages } from './pages.ts';

/** Pages that are made from the sources when the site is built. */
const generated = /^docs\/api\b/;

describe.each(pages().map(({ path, text }) => [path, text] as const))('%s', (path, text) => {
  it('links_to_files_that_are_there_and_to_headings_that_they_have', () => {
    const targets = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
    const broken = targets.filter((target) => !isThere(path, target));
    expect(broken).toEqual([]);
  });

  it('names_no_address', () => {
    expect(text.match(/https?:\/\/[^\s)'"`]+/g) ?? []).toEqual([]);
  });
});

it('readme_has_at_most_150_lines', () => {
  const readme = pages().find(({ path }) => path === 'README.md');
  expect(readme?.text.trimEnd().split('\n').length).toBeLessThanOrEqual(150);
});

function isThere(from: string, target: string): boolean {
  const [file = '', anchor] = target.split('#');
  const path = file === '' ? from : join(dirname(from), file);
  if (generated.test(path)) return true;
  if (!existsSync(path)) return false;
  const page = pages().find((each) => each.path === path);
  return anchor === undefined || page === undefined || anchorsOf(page.text).includes(anchor);
}

/** As the site makes them of headings. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\s-]/g, '')
      .trim()
      .replaceAll(/\s+/g, '-'),
  );
}
