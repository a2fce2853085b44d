/** How much the library adds to a user's page: the bundle that the packaging tests judge, from `dist/`. */

import { gzipSync } from 'node:zlib';
import { bundleAsModules } from '../tests/packaging/browser_bundle.ts';
import { repositoryFile } from './repository.ts';

/** Bytes after gzip, without what is loaded only when it is used. */
export async function packageGzipBytes(): Promise<number> {
  const [entry] = await bundleAsModules(repositoryFile('tests/packaging/consumer.ts'));
  return gzipSync(entry, { level: 9 }).length;
}
