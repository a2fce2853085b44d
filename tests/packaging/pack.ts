/** Packs the package once for all packaging tests and installs it in a project of its own, far from this one's packages. */

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  export interface ProvidedContext {
    /** The `.tgz` that would be published. */
    tarball: string;
    /** A folder with a `package.json`, whose `node_modules` holds the unpacked package and nothing else. */
    userProject: string;
  }
}

let folder = '';

/** Vitest calls it before the first test. */
export function setup(project: TestProject): void {
  const root = project.config.root;
  if (!existsSync(join(root, 'dist', 'index.js'))) throw new Error('there is no dist/: run `npm run build` first');

  folder = mkdtempSync(join(tmpdir(), 'syncbn-packaging-'));
  const packed: unknown = JSON.parse(
    execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }),
  );
  const tarball = join(folder, fileNameOf(packed));

  const userProject = join(folder, 'user');
  const installed = join(userProject, 'node_modules', 'syncbn');
  mkdirSync(installed, { recursive: true });
  writeFileSync(join(userProject, 'package.json'), JSON.stringify({ private: true, dependencies: { syncbn: '*' } }));
  execFileSync('tar', ['-xzf', tarball, '-C', installed, '--strip-components=1']);

  project.provide('tarball', tarball);
  project.provide('userProject', userProject);
}

/** Vitest calls it after the last test. */
export function teardown(): void {
  rmSync(folder, { recursive: true, force: true });
}

/** The file name in what `npm pack --json` prints: a list, or since npm 12 an object by package name. */
function fileNameOf(packed: unknown): string {
  const [first] = Object.values(packed as Record<string, { readonly filename: string }>);
  if (first === undefined) throw new Error('npm pack packed nothing');
  return first.filename;
}
