/** The browser that the tests run in, and how it is started. Loads nothing but Node, since set-up runs before any package is there. */

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, join } from 'node:path';
import { toolEnvironment, versionOf } from './tools.mjs';

/** Chromium and Chrome, as the systems name them. */
const programs = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/**
 * The first browser that runs: the one that CHROME_PATH names, which then is the only one; else one on PATH; else the one that
 * Playwright has downloaded.
 * @param {NodeJS.ProcessEnv} [env] - where to look
 * @returns {{ path: string, version: string } | null} null for none
 */
export function findBrowser(env = toolEnvironment()) {
  for (const path of placesToLook(env)) {
    // A program that only tells how to install the browser has no version.
    const version = existsSync(path) ? versionOf(path) : null;
    if (version !== null) return { path, version };
  }
  return null;
}

/**
 * What Playwright needs to start it. Where none runs, the last place where it could be, so that starting it fails and says why.
 * Playwright switches the sandbox off, which root could not use; no pages but ours are opened.
 * @param {NodeJS.ProcessEnv} [env] - where to look
 * @returns {{ executablePath: string, args: string[] }} its options for starting a browser
 */
export function launchOptions(env = toolEnvironment()) {
  return {
    executablePath: findBrowser(env)?.path ?? [...placesToLook(env)].at(-1),
    args: [
      // WebGPU without a GPU.
      '--enable-unsafe-webgpu',
      '--use-webgpu-adapter=swiftshader',
      '--enable-unsafe-swiftshader',
      // Nothing of the browser's own goes over the network.
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--disable-quic',
      '--no-first-run',
    ],
  };
}

function* placesToLook(env) {
  if (env.CHROME_PATH) {
    yield env.CHROME_PATH;
    return;
  }
  const folders = (env.PATH ?? '').split(delimiter);
  for (const program of programs) yield* folders.map((folder) => join(folder, program));
  yield createRequire(import.meta.url)('playwright').chromium.executablePath();
}
