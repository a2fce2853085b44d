/** How much the library adds to a user's page: the bundle that the packaging tests judge, from `dist/`. */

import { gzipSync } from 'node:zlib';
import { bundleAsModules } from '../tests/packaging/browser_bundle.ts';
import { repositoryFile } from './repository.ts';

/** Bytes after gzip, without what is loaded only when it is used. */
export async function packageGzipBytes(): Promise<number> {
  const { first } = await bundleAsModules(repositoryFile('tests/packaging/consumer.ts'));
  return first.reduce((bytes, text) => bytes + gzipSync(text, { level: 9 }).length, 0);
}
