/** Rules that no linter knows and that hold for every language: names of files, reasons for exemptions. */

import { basename } from 'node:path';

const source = /\.(ts|mjs|js|rs|wgsl|py)$/;
const snakeCase = /^[a-z][a-z0-9]*(_[a-z0-9]+)*(\.(test|config|d))?\.[a-z]+$/;

const rules = [
  {
    complaint: 'is not named in snake_case',
    isBroken: (path) => source.test(path) && !snakeCase.test(basename(path)),
  },
  {
    complaint: 'has a name that says nothing: a file holds one concept and bears its name',
    isBroken: (path) => /(^|\/)(utils?|helpers?|misc|common)\.\w+$/.test(path),
  },
  {
    complaint: 'is a barrel inside the library: import the file itself',
    isBroken: (path) => /^ts\/.+\/index\.ts$/.test(path),
  },
  {
    complaint: 'switches a lint off without a reason (`-- because …`)',
    isBroken: (path, text) => source.test(path) && /(\/\/|\/\*)\s*eslint-disable(?!.* -- \w)/.test(text),
  },
  {
    complaint: 'hides an error of TypeScript',
    isBroken: (path, text) => source.test(path) && /@ts-(ignore|nocheck)/.test(text),
  },
  {
    complaint: 'names the address of a registry',
    isBroken: (path, text) => path === 'package-lock.json' && text.includes('"resolved": "http'),
  },
];

/**
 * What is wrong with a file.
 * @param {string} path - relative to the repository's root
 * @param {string} text - its contents
 * @returns {string[]} complaints, to be read after the path
 */
export function complaintsAbout(path, text) {
  return rules.filter(({ isBroken }) => isBroken(path, text)).map(({ complaint }) => complaint);
}
