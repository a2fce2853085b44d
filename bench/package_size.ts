/** How much the library adds to a user's page: the bundle that the packaging tests judge, from `dist/`. */

import { gzipSync } from 'node:zlib';
import { bundleForBrowser } from '../tests/packaging/browser_bundle.ts';
import { repositoryFile } from './repository.ts';

/** Bytes after gzip. */
export async function packageGzipBytes(): Promise<number> {
  const bundle = await bundleForBrowser(repositoryFile('tests/packaging/consumer.ts'));
  return gzipSync(bundle, { level: 9 }).length;
}
