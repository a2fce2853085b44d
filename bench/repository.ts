/** Where the benchmark's own files are: it runs from a bundle in another folder. */

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Path of a file of this repository, given from its root. */
export function repositoryFile(path: string): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, 'rust-toolchain.toml'))) {
    const parent = dirname(directory);
    if (parent === directory) throw new Error('the benchmark must run inside its repository');
    directory = parent;
  }
  return join(directory, path);
}
