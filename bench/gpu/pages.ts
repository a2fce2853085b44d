/** Engines in pages of one browser. Each has a page in a context of its own, and so a process of its own. */

import { build, type OutputFile } from 'esbuild';
import { basename } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright';
import type { CommandName, RequestOf, RunningEngine } from '../protocol.ts';
import { repositoryFile } from '../repository.ts';
import type { AdapterDescription } from './gpu_engine.ts';
import type { BenchmarkPage } from './page.ts';

/** Nothing listens there: every request is answered here. WebGPU wants a secure context, which this host name is. */
const ORIGIN = 'http://localhost';

/** Cross-origin isolation: only then a page has a clock finer than a tenth of a millisecond. */
const HEADERS = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };

/** A page's WebGPU on hardware: on Linux Chromium does not offer it unasked. */
const HARDWARE_ARGUMENTS = ['--enable-unsafe-webgpu', '--enable-features=Vulkan', '--ignore-gpu-blocklist'];

/**
 * The browser's arguments.
 * @param testArguments - those of the tests, which compute on SwiftShader.
 */
export function browserArguments(testArguments: readonly string[], isSoftware: boolean): string[] {
  if (isSoftware) return [...testArguments];
  return [...testArguments.filter((text) => !/webgpu|swiftshader/.test(text)), ...HARDWARE_ARGUMENTS];
}

declare const benchmark: BenchmarkPage;

export class Pages {
  /** Name and version of the browser. */
  readonly version: string;
  readonly #browser: Browser;
  readonly #files: ReadonlyMap<string, OutputFile>;

  private constructor(browser: Browser, files: ReadonlyMap<string, OutputFile>) {
    this.#browser = browser;
    this.#files = files;
    this.version = `Chromium ${browser.version()}`;
  }

  static async launch(executablePath: string, args: readonly string[]): Promise<Pages> {
    const { outputFiles } = await build({
      entryPoints: [repositoryFile('bench/gpu/page.ts')],
      bundle: true,
      splitting: true,
      write: false,
      outdir: 'page',
      format: 'esm',
      platform: 'browser',
      target: 'es2022',
      // `paths` of tsconfig.json would put the sources in the place of the package.
      tsconfigRaw: {},
      alias: { syncbn: repositoryFile('dist/index.js') },
      logLevel: 'warning',
    });
    const files = new Map(outputFiles.map((file) => [basename(file.path), file]));
    return new Pages(await chromium.launch({ executablePath, args: [...args] }), files);
  }

  /** @throws Error where a page has no adapter. */
  async describeAdapter(): Promise<AdapterDescription> {
    const page = await this.#newPage();
    try {
      const adapter = await page.evaluate(() => benchmark.describeAdapter());
      if (adapter === null) throw new Error(`${this.version} has no WebGPU adapter; CHROME_PATH names another browser`);
      return adapter;
    } finally {
      await page.close();
    }
  }

  async open(name: string): Promise<RunningEngine> {
    const page = await this.#newPage();
    const version = await page.evaluate((asked) => benchmark.open(asked), name);
    return {
      version: `${version}, ${this.version}`,
      ask: async <C extends CommandName>(request: RequestOf<C>) =>
        await page.evaluate((asked) => benchmark.ask(asked), request as unknown),
      stop: () => void page.close().catch(() => undefined),
    };
  }

  close(): Promise<void> {
    return this.#browser.close();
  }

  async #newPage(): Promise<Page> {
    const page = await this.#browser.newPage();
    await page.route(`${ORIGIN}/**`, async (route) => {
      const name = basename(new URL(route.request().url()).pathname);
      const file = this.#files.get(name);
      const headers = HEADERS;
      if (name === '') await route.fulfill({ headers, contentType: 'text/html', body: '<!doctype html>' });
      else if (file === undefined) await route.fulfill({ status: 404 });
      else await route.fulfill({ headers, contentType: 'text/javascript', body: Buffer.from(file.contents) });
    });
    await page.goto(`${ORIGIN}/`);
    await page.addScriptTag({ url: `${ORIGIN}/page.js`, type: 'module' });
    await page.waitForFunction(() => typeof benchmark !== 'undefined');
    return page;
  }
}
