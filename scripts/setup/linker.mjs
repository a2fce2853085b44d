/** A C compiler: rustc links programs with it, among them every build script. */

import { run } from '../tools.mjs';
import { aptCommand, aptInstall } from './debian.mjs';
import { say, SetupError } from './step.mjs';

const packages = ['gcc', 'libc6-dev'];

export function setUpLinker() {
  const version = () => run('cc', ['--version'], { quiet: true }).stdout.split('\n')[0];
  const found = version();
  if (found) {
    say('C linker', found);
    return;
  }
  if (!aptInstall(packages))
    throw new SetupError('there is no C compiler, which Rust links with', aptCommand(packages));
  say('C linker', `${version()}, installed by apt-get`);
}
