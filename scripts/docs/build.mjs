/**
 * `npm run docs:build`: makes the site in `build/site`, static files that work in any folder of any server: the reference from the
 * sources, the pages, and relative addresses in all of them.
 */

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../tools.mjs';
import { buildPages, make } from './pages.mjs';

const site = join(root, 'build', 'site');
rmSync(join(root, 'docs', 'api'), { recursive: true, force: true });
const bare = [
  ...make('typedoc', ['--logLevel', 'Warn']).matchAll(/\S+ \((\w+)\), defined in .* does not have any documentation/g),
]
  // What can be read and set is documented once, where it is read.
  .filter(([, kind]) => kind !== 'SetSignature')
  .map(([text]) => text);
if (bare.length > 0) throw new Error(`what is public has to be documented:\n${bare.join('\n')}`);
buildPages(site);
console.log(`site: built, ${site}`);
