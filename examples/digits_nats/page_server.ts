/** Serves the page, the images that it learns from, and a rank to each that opens it. */

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { build } from 'esbuild';
import type { Samples } from '../digits/samples.ts';
import { LINES } from '../report/style.ts';
import type { RankPlace } from './run_rank.ts';

export interface PageOptions {
  /** What is learned from. */
  readonly images: Samples;
  /** The rank of the page that comes as number so many, from 0; `null`: all ranks have one. */
  readonly placeOf: (page: number) => RankPlace | null;
}

export interface PageServer extends AsyncDisposable {
  readonly address: string;
}

const folder = join('examples', 'digits_nats', 'page');

/** Listens on a free port of this machine. */
export async function servePages({ images, placeOf }: PageOptions): Promise<PageServer> {
  const [scripts, html] = await Promise.all([bundle(), readFile(join(folder, 'index.html'), 'utf8')]);
  let pages = 0;
  const contents: Readonly<Record<string, () => readonly [type: string, content: string | Uint8Array]>> = {
    '/': () => ['text/html', html.replace('/* lines */', LINES)],
    '/page.js': () => ['text/javascript', scripts.page],
    '/rank.js': () => ['text/javascript', scripts.rank],
    '/place': () => {
      pages += 1;
      return ['application/json', JSON.stringify(placeOf(pages - 1))];
    },
    '/images': () => ['application/octet-stream', bytesOf(images.images)],
    '/labels': () => ['application/octet-stream', images.labels],
  };
  const server = createServer((request, response) => {
    const content = contents[new URL(request.url ?? '/', 'http://page').pathname];
    if (content === undefined) {
      response.writeHead(404).end();
    } else {
      const [type, body] = content();
      response.writeHead(200, { 'Content-Type': type, 'Cache-Control': 'no-store' }).end(body);
    }
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

/** The programs of the page and of its worker, with the published package in them. */
async function bundle(): Promise<Readonly<Record<'page' | 'rank', string>>> {
  const { outputFiles } = await build({
    entryPoints: [join(folder, 'page.ts'), join(folder, 'rank.ts')],
    outdir: 'memory',
    write: false,
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    // `paths` of tsconfig.json would put the sources in the place of the package.
    tsconfigRaw: {},
    logLevel: 'error',
  });
  const text = (name: string): string => outputFiles.find(({ path }) => path.endsWith(`${name}.js`))?.text ?? '';
  return { page: text('page'), rank: text('rank') };
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
