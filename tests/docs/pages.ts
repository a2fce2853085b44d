/** The README and the pages of `docs/`, with the programs in them. */

import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** A page of Markdown. */
export interface Page {
  /** From the root of the project. */
  readonly path: string;
  readonly text: string;
}

/** A block of code that is a program of its own. */
export interface Program {
  readonly page: string;
  /** Where it begins, counted from 1. */
  readonly line: number;
  readonly language: 'js' | 'ts';
  readonly code: string;
  /** What it prints, line by line: whatever its comments that begin with `// →` say. */
  readonly prints: readonly string[];
}

/** What is written for users. Decisions are for authors, and the reference is made from the sources. */
export function pages(): Page[] {
  const docs = readdirSync(resolve('docs')).filter((name) => name.endsWith('.md'));
  const paths = ['README.md', ...docs.map((name) => join('docs', name))];
  return paths.map((path) => ({ path, text: readFileSync(resolve(path), 'utf8') }));
}

/** Every block of JavaScript or TypeScript is a whole program. */
export function programsOf({ path, text }: Page): Program[] {
  return [...text.matchAll(/^```(js|ts)\n([^]*?)^```$/gm)].map((match) => {
    const [, language, code = ''] = match;
    const expected = [...code.matchAll(/\/\/ → (.*)$/gm)].flatMap(([, comment = '']) => comment.split(' → '));
    return {
      page: path,
      line: text.slice(0, match.index).split('\n').length,
      language: language === 'ts' ? 'ts' : 'js',
      code,
      prints: expected,
    };
  });
}
