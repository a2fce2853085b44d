/**
 * Where the project's tools are and how they are called: the one place that knows the folders. Uses nothing but Node, since
 * set-up runs before any package is installed.
 */

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Tools that set-up installed for this checkout only; ignored by git. */
export const toolsDirectory = join(root, '.tools');

/** Holds `rustc` and `cargo` for WebAssembly alone, where the machine's own Rust cannot build for it. */
export const wasmRustDirectory = join(toolsDirectory, 'wasm_rust');

/** The environment in which every tool runs: the project's tools first, then the user's, then the machine's. */
export function toolEnvironment() {
  const cargoBin = join(process.env.CARGO_HOME ?? join(homedir(), '.cargo'), 'bin');
  const folders = [join(toolsDirectory, 'bin'), join(root, 'node_modules', '.bin'), process.env.PATH ?? '', cargoBin];
  return { ...process.env, PATH: folders.join(delimiter) };
}

/** The environment of a build for WebAssembly: the same, with the Rust that can do it in front where there is one. */
export function wasmEnvironment() {
  const environment = toolEnvironment();
  if (!existsSync(wasmRustDirectory)) return environment;
  // rustup's own variables would send a compiler of this folder to another tool chain's files.
  delete environment.RUSTUP_TOOLCHAIN;
  return { ...environment, PATH: wasmRustDirectory + delimiter + environment.PATH };
}

/**
 * Runs a command to its end without a shell.
 * @param {string} command - the program, looked up on the environment's PATH
 * @param {string[]} parameters - its arguments
 * @param {{ quiet?: boolean, cwd?: string, env?: NodeJS.ProcessEnv, timeout?: number }} [options] - `quiet` keeps the
 * output for the caller instead of showing it
 * @returns {{ ok: boolean, output: string, stdout: string }} whether it exited with 0, and what it printed when quiet
 */
export function run(command, parameters, options = {}) {
  const { quiet = false, cwd = root, env = toolEnvironment(), timeout } = options;
  const stdio = quiet ? ['ignore', 'pipe', 'pipe'] : ['ignore', 'inherit', 'inherit'];
  const result = spawnSync(command, parameters, { cwd, env, stdio, timeout, encoding: 'utf8', maxBuffer: 2 ** 28 });
  const stdout = result.stdout ?? '';
  const output = [stdout, result.stderr ?? '', result.error?.message ?? ''].filter(Boolean).join('\n').trim();
  return { ok: result.status === 0, output, stdout: stdout.trim() };
}

/**
 * The version that a program prints, or null where there is no such program.
 * @param {string} command - the program
 * @param {NodeJS.ProcessEnv} [env] - where to look for it
 * @returns {string | null} the first `x.y.z` of its `--version`
 */
export function versionOf(command, env = toolEnvironment()) {
  const { ok, stdout } = run(command, ['--version'], { quiet: true, env });
  return ok ? (/\d+\.\d+\.\d+/.exec(stdout)?.[0] ?? null) : null;
}

/**
 * Whether a version is at least another.
 * @param {string | null} version - `x.y.z`, or null for none
 * @param {string} least - `x.y.z` or `x.y`
 * @returns {boolean} false for none
 */
export function isAtLeast(version, least) {
  if (version === null) return false;
  const [have, want] = [version, least].map((text) => text.split('.').map(Number));
  const differing = want.findIndex((part, i) => part !== have[i]);
  return differing === -1 || have[differing] > want[differing];
}
