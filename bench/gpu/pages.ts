/** Engines in pages of one browser. Each has a page in a context of its own, and so a process of its own. */

import { build, type OutputFile } from 'esbuild';
import { basename } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright';
import type { GpuFramework } from '../contenders.ts';
import type { RunningEngine } from '../engine_process.ts';
import type { Answers, Request } from '../protocol.ts';
import { repositoryFile } from '../repository.ts';
import type { AdapterDescription } from './describe_adapter.ts';
import type { Versions } from './open_gpu_engine.ts';
import type { BenchmarkPage } from './page.ts';

/** Nothing listens there: every request is answered here. WebGPU wants a secure context, which this host name is. */
const ORIGIN = 'http://localhost';

/** Cross-origin isolation: only then a page has a clock finer than a tenth of a millisecond. */
const HEADERS = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };

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

  /** The adapter of a page; `null` for none. */
  async describeAdapter(): Promise<AdapterDescription | null> {
    const page = await this.#newPage();
    try {
      return await page.evaluate(() => benchmark.describeAdapter());
    } finally {
      await page.close();
    }
  }

  async open(framework: GpuFramework, versions: Versions): Promise<RunningEngine> {
    const page = await this.#newPage();
    const version = await page.evaluate(([name, given]) => benchmark.open(name, given), [framework, versions] as const);
    return {
      version: `${version}, ${this.version}`,
      ask: async <C extends Request['command']>(request: Extract<Request, { command: C }>) =>
        (await page.evaluate((asked) => benchmark.ask(asked), request as Request)) as Answers[C],
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
