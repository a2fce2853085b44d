/** Rust for this machine, recent enough for the workspace, with the formatter and the linter that the tests call. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isAtLeast, root, run, versionOf } from '../tools.mjs';
import { aptCommand, aptInstall, runAsRoot } from './debian.mjs';
import { firstWay, say, SetupError } from './step.mjs';

/** The parts of Rust that Debian builds for its browsers: far newer than its plain `rustc`, with WebAssembly support. */
const debianPackages = ['rustc-web', 'cargo-web', 'rustfmt-web', 'rust-web-clippy'];

/** The oldest Rust that builds the workspace, as `Cargo.toml` says. */
const leastVersion = /^rust-version = "(.*)"$/m.exec(readFileSync(join(root, 'Cargo.toml'), 'utf8'))?.[1] ?? '1.89';

/** The Rust that the sources are checked and measured with. */
const channel = /^channel = "(.*)"$/m.exec(readFileSync(join(root, 'rust-toolchain.toml'), 'utf8'))?.[1] ?? 'stable';

export function setUpRust() {
  const found = presentRust();
  const taken =
    found ??
    firstWay('Rust', [
      { name: 'rustup toolchain install', go: rustOfRustup },
      { name: 'apt-get install rustup', go: rustOfDebianRustup },
      { name: `apt-get install ${debianPackages.join(' ')}`, go: rustOfDebian },
    ]);
  if (taken === null) {
    throw new SetupError(
      `there is no Rust ${leastVersion} or newer, and none could be installed`,
      `install rustup as https://rustup.rs says, or: ${aptCommand(debianPackages)}`,
    );
  }
  say('Rust', taken);
  setUpComponents();
}

/** What is there, if it is recent enough. */
function presentRust() {
  const [cargo, rustc] = [versionOf('cargo'), versionOf('rustc')];
  return isAtLeast(rustc, leastVersion) && isAtLeast(cargo, leastVersion) ? `${rustc}` : null;
}

/** A rustup that does not have the tool chain yet. */
function rustOfRustup() {
  if (versionOf('rustup') === null) return null;
  const install = (toolchain) => {
    const parameters = ['toolchain', 'install', toolchain, '--profile', 'minimal', '--component', 'rustfmt,clippy'];
    return run('rustup', parameters, { quiet: true }).ok;
  };
  if (!install(channel)) {
    // The latest, or the one that is there. For this checkout only: which is the user's default is the user's to say.
    install('stable');
    run('rustup', ['override', 'set', 'stable'], { quiet: true });
  }
  const version = presentRust();
  return version && `${version}, installed by rustup`;
}

/** Debian 13 and later have rustup itself as a package. One that cannot bring a compiler would only keep out Debian's own. */
function rustOfDebianRustup() {
  if (versionOf('rustup') !== null || !aptInstall(['rustup'])) return null;
  const taken = rustOfRustup();
  if (taken === null) runAsRoot(['apt-get', 'remove', '--yes', 'rustup']);
  return taken;
}

function rustOfDebian() {
  const version = aptInstall(debianPackages) ? presentRust() : null;
  return version && `${version}, installed by apt-get`;
}

/** The formatter and the linter. They are no part of rustup's minimal profile, nor of Debian's `rustc`. */
function setUpComponents() {
  for (const [program, component, debianPackage] of [
    ['cargo-fmt', 'rustfmt', 'rustfmt-web'],
    ['cargo-clippy', 'clippy', 'rust-web-clippy'],
  ]) {
    if (versionOf(program) !== null) continue;
    const added = run('rustup', ['component', 'add', component], { quiet: true }).ok || aptInstall([debianPackage]);
    if (!added || versionOf(program) === null) {
      throw new SetupError(`there is no ${component}`, `rustup component add ${component}`);
    }
    say('Rust', `${component} installed`);
  }
}
