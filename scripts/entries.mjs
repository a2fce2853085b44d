/** What users import, as `package.json` declares it. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './tools.mjs';

const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** Names of all entries but the main one, whose sources are `ts/NAME.ts`: what can be imported and required. */
export const entries = Object.keys(exports)
  .filter((path) => typeof exports[path].import === 'object' && path !== '.')
  .map((path) => path.slice(2))
  // The longer name first: where names are replaced, each stands for all that begin with it.
  .sort((a, b) => b.length - a.length);

/** Entries that are built together with the main one, since they stand in its place. */
export const inPlace = ['slim'];

/** Entries beside the main one: `syncbn/NAME` is built from `ts/NAME.ts`, which imports the main entry as a user would. */
export const besides = entries.filter((name) => !inPlace.includes(name));
