/**
 * Rules of the house that no linter knows and that hold for every language: names of files, their length, reasons for exemptions,
 * no addresses of registries. Looks at what git tracks and at what it would.
 */

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { root } from './tools.mjs';

const source = /\.(ts|mjs|js|rs|wgsl|py)$/;
const snakeCase = /^[a-z][a-z0-9]*(_[a-z0-9]+)*(\.(test|config|d))?\.[a-z]+$/;

/** Each rule takes a path and its text and returns what is wrong with it, or nothing. */
const rules = [
  (path) => source.test(path) && !snakeCase.test(basename(path)) && 'is not named in snake_case',
  (path) =>
    /(^|\/)utils?\.\w+$/.test(path) && 'is named for what it is not: a file holds one concept and bears its name',
  (path) => /^ts\/.+\/index\.ts$/.test(path) && 'is a barrel inside the library: import the file itself',
  (path, text) => {
    const most = path.endsWith('.wgsl') ? 150 : 400;
    const lines = text.split('\n').length - 1;
    return source.test(path) && lines > most && `has ${lines} lines, more than ${most}`;
  },
  (path, text) =>
    source.test(path) &&
    /(\/\/|\/\*)\s*eslint-disable(?!.* -- \w)/.test(text) &&
    'switches a lint off without a reason (`-- because …`)',
  (path, text) =>
    source.test(path) && /@ts-(ignore|nocheck)/.test(text) && 'hides an error of TypeScript from everybody',
  (path, text) =>
    path === 'package-lock.json' && text.includes('"resolved": "http') && 'names the address of a registry',
];

const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], {
  cwd: root,
  encoding: 'utf8',
});
// A file may be in the index and no longer in the tree.
const paths = listed.split('\0').filter((path) => path !== '' && existsSync(`${root}/${path}`));
const complaints = paths.flatMap((path) => {
  const text = readFileSync(`${root}/${path}`, 'utf8');
  return rules
    .map((rule) => rule(path, text))
    .filter(Boolean)
    .map((complaint) => `${path} ${complaint}`);
});
for (const complaint of complaints) console.error(complaint);
console.log(`house: ${paths.length} files, ${complaints.length} complaints`);
process.exitCode = complaints.length > 0 ? 1 : 0;
