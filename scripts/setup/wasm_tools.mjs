/** wasm-pack and wasm-bindgen, kept in the project's own folder where the machine has none that fit. */

import { mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { isAtLeast, root, run, toolEnvironment, toolsDirectory, versionOf } from '../tools.mjs';
import { firstWay, say, SetupError } from './step.mjs';

const wasmPackVersion = '0.15.0';
/** The oldest that reads crates of Rust's edition 2024. */
const leastWasmPack = '0.13.0';

/** Both tools are built in one folder, so that what they have in common is built once. */
const toolBuilds = join(toolsDirectory, 'build');

export function setUpWasmPack() {
  const found = versionOf('wasm-pack');
  if (isAtLeast(found, leastWasmPack)) {
    say('wasm-pack', found);
    return;
  }
  const taken = firstWay('wasm-pack', [
    { name: 'the prebuilt wasm-pack', go: prebuiltWasmPack },
    { name: 'cargo install wasm-pack', go: () => cargoInstall('wasm-pack', wasmPackVersion) },
  ]);
  if (taken === null) {
    throw new SetupError('there is no wasm-pack', `cargo install wasm-pack --version ${wasmPackVersion} --root .tools`);
  }
  say('wasm-pack', taken);
}

/**
 * The binary that wasm-pack's npm package downloads. The download is its install script, which npm may leave out, so it is
 * called here.
 */
function prebuiltWasmPack() {
  const folder = join(toolsDirectory, 'npm');
  const installed = run(
    'npm',
    ['install', '--prefix', folder, '--ignore-scripts', '--no-audit', '--no-fund', `wasm-pack@${wasmPackVersion}`],
    { quiet: true },
  );
  const installedPackage = join(folder, 'node_modules', 'wasm-pack');
  // A network that swallows packets must not take all of set-up's time.
  const downloaded =
    installed.ok && run('node', ['install.js'], { quiet: true, cwd: installedPackage, timeout: 60_000 }).ok;
  if (!downloaded) {
    rmSync(folder, { recursive: true, force: true });
    return null;
  }
  const link = join(toolsDirectory, 'bin', 'wasm-pack');
  mkdirSync(join(toolsDirectory, 'bin'), { recursive: true });
  rmSync(link, { force: true });
  symlinkSync(join(folder, 'node_modules', '.bin', 'wasm-pack'), link);
  const version = versionOf('wasm-pack');
  return version && `${version}, prebuilt, from npm`;
}

export function setUpWasmBindgen() {
  // The program refuses a module made with another version of the crate, so only the very same one fits.
  const wanted = lockedVersion('wasm-bindgen');
  if (versionOf('wasm-bindgen') === wanted) {
    say('wasm-bindgen', wanted);
    return;
  }
  const taken = cargoInstall('wasm-bindgen-cli', wanted, 'wasm-bindgen');
  if (taken === null) {
    throw new SetupError(
      `there is no wasm-bindgen ${wanted}, the version of Cargo.lock`,
      `cargo install wasm-bindgen-cli --version ${wanted} --root .tools`,
    );
  }
  say('wasm-bindgen', taken);
}

/** The version of a crate in `Cargo.lock`. */
function lockedVersion(crate) {
  const lock = readFileSync(join(root, 'Cargo.lock'), 'utf8');
  const version = new RegExp(`^name = "${crate}"\\nversion = "(.*)"$`, 'm').exec(lock)?.[1];
  if (version === undefined) throw new SetupError(`Cargo.lock names no ${crate}`, 'cargo generate-lockfile');
  return version;
}

/** The tools run for a second or two each: the minutes that making them fast takes would not come back. */
const quickProfile = {
  CARGO_PROFILE_RELEASE_OPT_LEVEL: '0',
  CARGO_PROFILE_RELEASE_LTO: 'off',
  CARGO_PROFILE_RELEASE_CODEGEN_UNITS: '16',
  CARGO_PROFILE_RELEASE_DEBUG: 'false',
};

/**
 * Builds a tool into the project's folder.
 * @param {string} crate - the crate
 * @param {string} version - exactly this one
 * @param {string} [program] - what it installs, where the name differs
 * @returns {string | null} what was taken; null when it failed
 */
function cargoInstall(crate, version, program = crate) {
  say(program, `cargo install ${crate}, which takes a few minutes`);
  const { ok, output } = run(
    'cargo',
    ['install', crate, '--version', version, '--root', toolsDirectory, '--target-dir', toolBuilds, '--quiet'],
    { quiet: true, env: { ...toolEnvironment(), ...quickProfile } },
  );
  if (!ok) {
    console.error(output);
    return null;
  }
  return versionOf(program) && `${version}, built by cargo install`;
}

/** Removes what only building the tools needed. */
export function removeToolBuilds() {
  rmSync(toolBuilds, { recursive: true, force: true });
}
