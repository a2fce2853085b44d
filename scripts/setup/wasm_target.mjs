/** Rust's standard library for WebAssembly: from rustup where it can, else built once from Debian's sources of it. */

import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run, wasmEnvironment, wasmRustDirectory } from '../tools.mjs';
import { aptInstall, runAsRoot } from './debian.mjs';
import { firstWay, say, SetupError } from './step.mjs';

const target = 'wasm32-unknown-unknown';

/** Debian's Rust for browsers and the sources of its standard library. */
const debianPackages = ['rustc-web', 'cargo-web', 'rust-web-src', 'rust-web-llvm'];

export function setUpWasmTarget() {
  if (canBuild()) {
    say('WebAssembly target', 'there');
    return;
  }
  const taken = firstWay('WebAssembly target', [
    { name: 'rustup target add', go: addByRustup },
    { name: `building it with Debian's ${debianPackages[0]}`, go: buildFromDebian },
  ]);
  if (taken === null) {
    throw new SetupError(
      `Rust has no standard library for ${target}, and none could be added`,
      `rustup target add ${target}, or as root: npm run setup`,
    );
  }
  say('WebAssembly target', taken);
}

/** Whether a module can be compiled and linked: nothing less tells that the compiler finds std and its linker. */
function canBuild() {
  const scratch = mkdtempSync(join(tmpdir(), 'syncbn-target-'));
  try {
    const source = join(scratch, 'probe.rs');
    writeFileSync(source, 'pub fn probe() -> String { String::new() }\n');
    const parameters = ['--target', target, '--crate-type', 'cdylib', '-o', join(scratch, 'probe.wasm'), source];
    return run('rustc', parameters, { quiet: true, env: wasmEnvironment() }).ok;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function addByRustup() {
  const added = run('rustup', ['target', 'add', target], { quiet: true }).ok;
  return added && canBuild() ? 'added by rustup' : null;
}

/**
 * Debian ships the sources of the standard library but no build of it for this target. What cargo builds of it is copied to
 * where rustc looks, so that later builds need no flags.
 */
function buildFromDebian() {
  if (!aptInstall(debianPackages)) return null;
  // The linker is of the LLVM that the compiler was built with.
  const llvm = /^LLVM version: (\d+)/m.exec(run('/usr/bin/rustc', ['-vV'], { quiet: true }).stdout)?.[1];
  if (llvm === undefined || !aptInstall([`lld-${llvm}`])) return null;

  // A folder of its own in front of PATH: the machine's default Rust stays what it is for everything else.
  rmSync(wasmRustDirectory, { recursive: true, force: true });
  mkdirSync(wasmRustDirectory, { recursive: true });
  for (const program of ['rustc', 'cargo']) symlinkSync(`/usr/bin/${program}`, join(wasmRustDirectory, program));
  symlinkSync(`/usr/bin/wasm-ld-${llvm}`, join(wasmRustDirectory, 'rust-lld'));
  if (canBuild()) return 'there, in the Rust of Debian';

  const env = wasmEnvironment();
  const scratch = mkdtempSync(join(tmpdir(), 'syncbn-std-'));
  try {
    const libraries = buildStandardLibrary(scratch, env);
    const folder = run('rustc', ['--print', 'target-libdir', '--target', target], { quiet: true, env }).stdout;
    if (libraries === null || !runAsRoot(['mkdir', '-p', folder])) return null;
    if (!runAsRoot(['cp', ...libraries, folder])) return null;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return canBuild() ? 'built from the sources that Debian ships' : null;
}

/**
 * Builds the standard library by building an empty crate with it.
 * @param {string} folder - where
 * @param {NodeJS.ProcessEnv} env - with Debian's Rust on PATH
 * @returns {string[] | null} the files of the library
 */
function buildStandardLibrary(folder, env) {
  mkdirSync(join(folder, 'src'));
  writeFileSync(join(folder, 'src', 'lib.rs'), '#![no_std]\n');
  writeFileSync(join(folder, 'Cargo.toml'), '[package]\nname = "empty"\nversion = "0.0.0"\nedition = "2021"\n');
  const parameters = ['build', '--release', '--target', target, '-Z', 'build-std=std,panic_abort'];
  const built = run('cargo', parameters, {
    quiet: true,
    cwd: folder,
    // Building std is an unstable option of cargo; without embedded bitcode a later `lto = "fat"` fails.
    env: { ...env, RUSTC_BOOTSTRAP: '1', RUSTFLAGS: '-Cembed-bitcode=yes', CARGO_TARGET_DIR: join(folder, 'target') },
  });
  if (!built.ok) {
    say('WebAssembly target', `cargo could not build the standard library:\n${built.output}`);
    return null;
  }
  const libraries = join(folder, 'target', target, 'release', 'deps');
  return readdirSync(libraries)
    .filter((name) => name.endsWith('.rlib') && !name.startsWith('libempty'))
    .map((name) => join(libraries, name));
}
