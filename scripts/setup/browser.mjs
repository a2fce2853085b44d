/** A browser for the tests: Chromium or Chrome. */

import { findBrowser } from '../browser.mjs';
import { run } from '../tools.mjs';
import { aptCommand, aptInstall } from './debian.mjs';
import { firstWay, say, SetupError } from './step.mjs';

export function setUpBrowser() {
  const found = present();
  if (found !== null) {
    say('browser', found);
    return;
  }
  // Another one would not be what the user has asked for.
  const { CHROME_PATH } = process.env;
  if (CHROME_PATH) throw new SetupError(`CHROME_PATH names no browser that runs: ${CHROME_PATH}`, 'unset CHROME_PATH');
  const taken = firstWay('browser', [
    { name: 'apt-get install chromium', go: install },
    { name: 'playwright install chromium', go: download },
  ]);
  if (taken === null) {
    throw new SetupError(
      'there is no Chromium or Chrome, and none could be installed',
      `${aptCommand(['chromium'])}, or: npx playwright install --with-deps chromium`,
    );
  }
  say('browser', taken);
}

function present() {
  const browser = findBrowser();
  return browser && `${browser.version}, ${browser.path}`;
}

function install() {
  const browser = aptInstall(['chromium']) ? present() : null;
  return browser && `${browser}, installed by apt-get`;
}

/** Into the user's cache, without the system's libraries that it may need: it counts only where it runs. */
function download() {
  // A network that swallows packets must not take all of set-up's time.
  const { ok } = run('playwright', ['install', '--no-shell', 'chromium'], { quiet: true, timeout: 300_000 });
  const browser = ok ? present() : null;
  return browser && `${browser}, downloaded by Playwright`;
}
