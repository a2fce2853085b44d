/** A page of Chromium that measures: WebGL, and WebGPU as browsers have it. */

import { basename } from 'node:path';
import { build } from 'esbuild';
import { type Browser, chromium, type Page } from 'playwright';
import { launchOptions } from '../../scripts/browser.mjs';
import { repositoryFile } from '../repository.ts';
import type { Finding } from './measure.ts';
import type { PageRequest, TfjsBenchmark } from './page.ts';

declare const tfjsBenchmark: TfjsBenchmark;

/** Nothing listens there: every request is answered here. WebGPU wants a secure context, which this host name is. */
const ORIGIN = 'http://localhost';

/** Cross-origin isolation: only then a page has a clock finer than a tenth of a millisecond. */
const HEADERS = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };

export class ChromiumPage {
  readonly #browser: Browser;
  readonly #page: Page;

  private constructor(browser: Browser, page: Page) {
    this.#browser = browser;
    this.#page = page;
  }

  /** Bundles the page, and opens it in a browser of its own. */
  static async open(): Promise<ChromiumPage> {
    const { outputFiles } = await build({
      entryPoints: [repositoryFile('bench/tfjs/page.ts')],
      ...{ bundle: true, splitting: true, write: false, outdir: 'page', format: 'esm', platform: 'browser' },
      target: 'es2022',
      // `paths` of tsconfig.json would put the sources in the place of the package.
      tsconfigRaw: {},
      alias: { 'syncbn/tfjs': repositoryFile('dist/tfjs.js'), syncbn: repositoryFile('dist/index.js') },
      // What reads files is loaded in Node alone.
      external: ['node:*'],
      // Imports for their side effects, of what has none, are told of as warnings.
      logLevel: 'error',
    });
    const files = new Map(outputFiles.map((file) => [basename(file.path), file.contents]));
    const browser = await chromium.launch(launchOptions());
    try {
      const page = await browser.newPage();
      await page.route(`${ORIGIN}/**`, async (route) => {
        const name = basename(new URL(route.request().url()).pathname);
        const contents = files.get(name);
        if (name === '') {
          await route.fulfill({ headers: HEADERS, contentType: 'text/html', body: '<!doctype html>' });
        } else if (contents === undefined) {
          await route.fulfill({ status: 404 });
        } else {
          await route.fulfill({ headers: HEADERS, contentType: 'text/javascript', body: Buffer.from(contents) });
        }
      });
      await page.goto(`${ORIGIN}/`);
      await page.addScriptTag({ url: `${ORIGIN}/page.js`, type: 'module' });
      await page.waitForFunction(() => typeof tfjsBenchmark !== 'undefined');
      return new ChromiumPage(browser, page);
    } catch (error) {
      await browser.close();
      throw error;
    }
  }

  /** @throws what the page throws. */
  measure(request: PageRequest): Promise<Finding> {
    return this.#page.evaluate((asked) => tfjsBenchmark.measure(asked), request);
  }

  close(): Promise<void> {
    return this.#browser.close();
  }
}
