/** The build that this checkout is compared with: of another commit, or of another checkout. */

import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { repositoryFile } from './repository.ts';

export interface OtherBuild {
  /** The commit or folder, as the tables name it. */
  readonly title: string;
  /** The library's entry, `dist/index.js`. */
  readonly entry: string;
}

/**
 * @param place - a folder `dist`, a checkout that has been built, or anything that git takes for a commit. A commit is built in
 * `build/against/`, once.
 * @throws Error where it is none of these, or the build fails.
 */
export function findOtherBuild(place: string): OtherBuild {
  const entry = [join(place, 'dist', 'index.js'), join(place, 'index.js')].find((file) => existsSync(file));
  if (entry !== undefined) return { title: place, entry: resolve(entry) };
  const commit = commitOf(place);
  const folder = repositoryFile(join('build', 'against', commit));
  const built = join(folder, 'dist', 'index.js');
  if (!existsSync(built)) buildCommit(commit, folder);
  return { title: `${place} (${commit.slice(0, 8)})`, entry: built };
}

function commitOf(name: string): string {
  try {
    return git('rev-parse', '--verify', '--quiet', `${name}^{commit}`);
  } catch {
    throw new Error(`--against: expected a commit, or a folder that holds dist/index.js or index.js; got ${name}`);
  }
}

/** Unpacks a commit and builds it by its own scripts, with what this checkout has installed and compiled already. */
function buildCommit(commit: string, folder: string): void {
  console.error(`building ${commit} in ${folder}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const archive = `${folder}.tar`;
  git('archive', '--output', archive, commit);
  execFileSync('tar', ['-xf', archive, '-C', folder]);
  rmSync(archive);
  share('.tools', folder);
  // Other packages than ours are installed by the commit's own set-up.
  if (textOf(join(folder, 'package-lock.json')) === textOf(repositoryFile('package-lock.json'))) {
    share('node_modules', folder);
  }
  // With stamps of the inputs, so that a module is built anew only where its inputs differ.
  const generated = join('ts', 'wasm', 'generated');
  cpSync(repositoryFile(generated), join(folder, generated), { recursive: true });
  const options = {
    cwd: folder,
    stdio: ['ignore', process.stderr, 'inherit'] as const,
    env: { ...process.env, CARGO_TARGET_DIR: repositoryFile('target') },
  };
  execFileSync(process.execPath, ['scripts/setup.mjs', '--for', 'build'], { ...options, stdio: [...options.stdio] });
  execFileSync('npm', ['run', '--silent', 'build'], { ...options, stdio: [...options.stdio] });
}

function share(name: string, folder: string): void {
  if (existsSync(repositoryFile(name))) symlinkSync(repositoryFile(name), join(folder, name));
}

function textOf(file: string): string {
  return readFileSync(file, 'utf8');
}

function git(...parameters: string[]): string {
  return execFileSync('git', parameters, { cwd: repositoryFile('.'), encoding: 'utf8' }).trim();
}
