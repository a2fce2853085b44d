/** Pages of a static server without a bundler, under strict policies and in several browsers. */

import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { findProgram } from '../../../scripts/setup/more_browsers.mjs';
import { versionOf } from '../../../scripts/tools.mjs';
import { NotHere } from '../not_here.mjs';
import { waitForTitle } from '../pages.mjs';
import { freePort } from '../project.mjs';
import { html, inNode, ofPage, page, pageWith } from './sources.mjs';

const importMap = (name) =>
  `<script type="importmap">{ "imports": { "syncbn": "./node_modules/syncbn/dist/${name}.js", "syncbn/slim": "./node_modules/syncbn/dist/${name}.js" } }</script>`;

/** A page without anything that a policy would have to allow by its text: an import map is such a thing. */
const strictPage = {
  ...page,
  'app.js': page['app.js'].replace("'syncbn'", "'./node_modules/syncbn/dist/index.js'"),
};

const strict = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src blob:; img-src data:";
const trustedTypes = `${strict}; require-trusted-types-for 'script'; trusted-types default`;

const inChromium = [
  {
    name: 'Chromium, `<script src>`',
    files: pageWith('<script src="node_modules/syncbn/dist/syncbn.iife.js"></script>', ''),
  },
  { name: 'Chromium, import map', quickKinds: ofPage, files: pageWith(importMap('index')) },
  {
    name: 'Chromium, `syncbn/slim` with its file served',
    files: pageWith(
      importMap('slim'),
      "import * as syncbn from 'syncbn/slim';\nawait syncbn.init('node_modules/syncbn/dist/cpu.wasm');",
    ),
  },
  {
    name: `Chromium, strict content security policy`,
    files: strictPage,
    headers: { 'content-security-policy': strict },
    remark: `\`${strict}\``,
  },
  {
    name: 'Chromium, Trusted Types',
    files: {
      ...strictPage,
      'index.html': html('<script src="policy.js"></script><script type="module" src="app.js"></script>'),
      'policy.js': `trustedTypes.createPolicy('default', {
  createScriptURL: (address) => { if (!address.startsWith('blob:')) throw new TypeError(address); return address; },
});\n`,
    },
    headers: { 'content-security-policy': trustedTypes },
    remark: 'with a default policy that passes `blob:` addresses of workers',
  },
].map(({ headers, ...row }) => ({
  quickKinds: inNode,
  kinds: ofPage,
  ...row,
  version: (_project, pages) => pages.version(),
  go: ({ folder }, pages) => pages.show(`${pages.serve(folder, headers)}/index.html`),
}));

/** Where `npm run setup` finds or installs it. */
const firefoxes = ['firefox-esr', 'firefox'];

/** Debian's Firefox over WebDriver BiDi. */
const firefox = {
  name: 'Firefox, import map',
  tools: { 'puppeteer-core': '25' },
  kinds: ofPage,
  remark: 'WebGPU with the preferences `dom.webgpu.enabled` and `gfx.webgpu.ignore-blocklist`',
  files: pageWith(importMap('index')),
  version: () => firefoxes.map((name) => versionOf(name)).find((version) => version !== null),
  go: async ({ folder }, pages) => {
    const executablePath = findProgram(firefoxes);
    if (executablePath === null) throw new NotHere('there is no Firefox; Debian has it as the package firefox-esr');
    const entry = createRequire(join(folder, 'index.js')).resolve('puppeteer-core');
    const { default: puppeteer } = await import(pathToFileURL(entry).href);
    const browser = await puppeteer.launch({
      ...{ browser: 'firefox', executablePath, headless: true },
      extraPrefsFirefox: { 'dom.webgpu.enabled': true, 'gfx.webgpu.ignore-blocklist': true },
    });
    try {
      const shown = await browser.newPage();
      await shown.goto(`${pages.serve(folder)}/index.html`);
      return (await waitForTitle(() => shown.title())) ?? 'the page shows nothing';
    } finally {
      await browser.close();
    }
  },
};

/** WebKitGTK's small browser, in a display that nobody sees, over WebDriver. */
const webKit = {
  name: 'WebKitGTK, import map',
  kinds: inNode,
  remark: 'it has no WebGPU',
  files: pageWith(importMap('index')),
  version: () => null,
  go: async ({ folder }, pages) => {
    const binary = miniBrowser();
    const missing = findProgram(['WebKitWebDriver']) === null || binary === null || findProgram(['Xvfb']) === null;
    if (missing) throw new NotHere('there is no WebKitGTK; Debian has it as the packages webkit2gtk-driver and xvfb');
    const port = await freePort();
    // Xvfb chooses a free display and tells its number.
    const display = spawn('Xvfb', ['-displayfd', '1', '-screen', '0', '800x600x24', '-nolisten', 'tcp'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const number = await new Promise((resolve) => display.stdout.once('data', (text) => resolve(String(text).trim())));
    const driver = spawn('WebKitWebDriver', [`--port=${port}`], {
      env: { ...process.env, DISPLAY: `:${number}` },
      stdio: 'ignore',
    });
    const call = async (method, path, body) => {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method, body: body && JSON.stringify(body) });
      const { value } = await answer.json();
      if (!answer.ok) throw new Error(`WebKitWebDriver: ${value.message}`);
      return value;
    };
    try {
      await untilAnswer(() => call('GET', '/status'));
      const options = { 'webkitgtk:browserOptions': { binary, args: ['--automation'] } };
      const { sessionId, capabilities } = await call('POST', '/session', { capabilities: { alwaysMatch: options } });
      await call('POST', `/session/${sessionId}/url`, { url: `${pages.serve(folder)}/index.html` });
      const title = (await waitForTitle(() => call('GET', `/session/${sessionId}/title`))) ?? 'the page shows nothing';
      await call('DELETE', `/session/${sessionId}`);
      return { text: title, version: capabilities.browserVersion };
    } finally {
      driver.kill();
      display.kill();
    }
  },
};

/** Debian keeps it in a folder of the library's version, for each kind of processor. */
function miniBrowser() {
  const below = (folder, pattern) =>
    existsSync(folder)
      ? readdirSync(folder)
          .filter((name) => pattern.test(name))
          .map((name) => join(folder, name))
      : [];
  return (
    below('/usr/lib', /-linux-gnu/)
      .flatMap((folder) => below(folder, /^webkit2gtk-/))
      .map((folder) => join(folder, 'MiniBrowser'))
      .find((file) => existsSync(file)) ?? null
  );
}

async function untilAnswer(ask) {
  for (const end = Date.now() + 10_000; ;) {
    try {
      return await ask();
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** @type {import('./all.mjs').Row[]} */
export const pages = [...inChromium, firefox, webKit];
