/** Firefox and WebKitGTK, for the matrix of platforms. It lists what is missing with its reason, so their absence stops nothing. */

import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { aptCommand, aptInstall } from './debian.mjs';
import { say } from './step.mjs';

const browsers = [
  { name: 'Firefox', programs: [['firefox-esr', 'firefox']], packages: ['firefox-esr'] },
  { name: 'WebKitGTK', programs: [['WebKitWebDriver'], ['Xvfb']], packages: ['webkit2gtk-driver', 'xvfb'] },
];

export function setUpMoreBrowsers() {
  for (const { name, programs, packages } of browsers) {
    const isThere = () => programs.every((names) => findProgram(names) !== null);
    const wasThere = isThere();
    if (!wasThere) aptInstall(packages);
    if (!isThere()) say(name, `missing, and its rows of the matrix are not run; by hand: ${aptCommand(packages)}`);
    else say(name, `${findProgram(programs[0])}${wasThere ? '' : ', installed by apt-get'}`);
  }
}

/**
 * @param {string[]} names - of a program, one for each system
 * @returns {string | null} the first that is on PATH
 */
export function findProgram(names) {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return folders.flatMap((folder) => names.map((name) => join(folder, name))).find((file) => existsSync(file)) ?? null;
}
