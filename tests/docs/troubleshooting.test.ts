/** The page of errors has every class and every text of the library, and none that there is no more. */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { errorClasses, errorTexts } from '../../scripts/docs/error_texts.mjs';

const page = readFileSync('docs/troubleshooting.md', 'utf8');
const onPage = [...page.matchAll(/`([^`\n]+)`/g)].map(([, text = '']) => text);
const inSources = errorTexts().map(({ text }) => oneLine(text));

describe('docs/troubleshooting.md', () => {
  it('has_a_heading_for_every_error_class', () => {
    const headings = [...page.matchAll(/^### (\w+Error)$/gm)].map(([, name = '']) => name);
    expect(errorClasses().map(({ name }) => name)).toEqual(expect.arrayContaining(headings));
    const missing = errorClasses().filter(({ name }) => !headings.includes(name));
    expect(missing).toEqual([]);
  });

  it('has_every_text', () => {
    expect(inSources.length).toBeGreaterThan(200);
    const missing = errorTexts().filter(({ text }) => !onPage.includes(oneLine(text)));
    expect(missing).toEqual([]);
  });

  it('has_no_text_that_the_library_does_not_have', () => {
    const texts = [...page.matchAll(/^(?:\* |\| )?`([^`\n]+)`(?:$| \|)/gm)].map(([, text = '']) => text);
    // The text of a replica's error is put together line by line.
    const made = texts.filter((text) => !inSources.includes(text) && !text.startsWith('Caught …'));
    expect(texts.length).toBeGreaterThan(200);
    expect(made).toEqual([]);
  });
});

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim();
}
