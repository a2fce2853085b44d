/** The software adapter for WebGPU in Node: the SwiftShader that comes with Chromium. */

import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { findBrowser } from './browser.mjs';

const file = 'vk_swiftshader_icd.json';

/**
 * What the environment of a Node process needs so that Dawn finds an adapter where there is no GPU. A driver that the environment
 * names already stays.
 * @param {NodeJS.ProcessEnv} [env] - where to look
 * @returns {Record<string, string>} variables to add
 */
export function softwareGpu(env = process.env) {
  if (env.VK_ICD_FILENAMES || env.VK_DRIVER_FILES) return {};
  const browser = findBrowser()?.path;
  const folders = ['/usr/lib/chromium', '/usr/lib/chromium-browser', ...(browser ? [dirname(browser)] : [])];
  const driver = folders.map((folder) => join(folder, file)).find((path) => existsSync(path));
  // The Vulkan loader complains of each process that has no folder for its run-time files, although it needs none here.
  const { XDG_RUNTIME_DIR = tmpdir() } = env;
  return driver === undefined ? {} : { VK_ICD_FILENAMES: driver, XDG_RUNTIME_DIR };
}
