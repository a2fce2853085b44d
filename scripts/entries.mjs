/** What users import: the main entry, and those beside it, as `package.json` declares them. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './tools.mjs';

const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** Names of the entries beside the main one: `syncbn/NAME` is built from `ts/NAME.ts`. */
export const besides = Object.keys(exports)
  .filter((path) => typeof exports[path] === 'object' && path !== '.')
  .map((path) => path.slice(2));
