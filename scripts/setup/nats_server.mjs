/** A NATS server, for the tests of ranks in several processes; they start it themselves. */

import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { aptCommand, aptInstall } from './debian.mjs';
import { say, SetupError } from './step.mjs';

const packages = ['nats-server'];

export function setUpNatsServer() {
  const found = present();
  if (found !== null) {
    say('NATS server', found);
    return;
  }
  const installed = aptInstall(packages) ? present() : null;
  if (installed === null) {
    throw new SetupError('there is no nats-server, and none could be installed', aptCommand(packages));
  }
  say('NATS server', `${installed}, installed by apt-get`);
}

/** Debian puts it where not every user looks for programs. */
export function present() {
  const { NATS_SERVER, PATH = '' } = process.env;
  const folders = [...PATH.split(delimiter), '/usr/sbin'];
  const named = NATS_SERVER ? [NATS_SERVER] : folders.map((folder) => join(folder, 'nats-server'));
  return named.find((file) => existsSync(file)) ?? null;
}
