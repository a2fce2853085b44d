/** A software adapter for the native tests of the GPU kernels: Mesa's lavapipe. */

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { aptCommand, aptInstall } from './debian.mjs';
import { say, SetupError } from './step.mjs';

const packages = ['mesa-vulkan-drivers', 'libvulkan1'];

/** Where the Vulkan loader looks for drivers. */
const folders = ['/usr/share/vulkan/icd.d', '/etc/vulkan/icd.d'];

export function setUpAdapter() {
  const found = present();
  if (found !== null) {
    say('Vulkan adapter', found);
    return;
  }
  const installed = aptInstall(packages) ? present() : null;
  if (installed === null) {
    throw new SetupError('there is no Vulkan driver, and none could be installed', aptCommand(packages));
  }
  say('Vulkan adapter', `${installed}, installed by apt-get`);
}

/** A driver, of whatever adapter; the tests fail where it has none. */
function present() {
  const { VK_DRIVER_FILES, VK_ICD_FILENAMES } = process.env;
  const named = VK_DRIVER_FILES || VK_ICD_FILENAMES;
  if (named) return named;
  const drivers = folders
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => readdirSync(folder).map((file) => join(folder, file)));
  return drivers.find((driver) => driver.includes('lvp_icd')) ?? drivers[0] ?? null;
}
