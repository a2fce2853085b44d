/** A static server, as a user has one: the pages of `e2e/page` and the bundle in `dist/`. */

import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';
import { transform } from 'esbuild';

const contentTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.ts': 'text/javascript',
};

/** The server, and the address of the page. */
export interface PageServer extends AsyncDisposable {
  readonly address: string;
}

/**
 * Serves on a free port of this machine.
 *
 * @param headers - of every answer
 */
export async function servePage(headers: Readonly<Record<string, string>>): Promise<PageServer> {
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://page').pathname;
    response.setHeaders(new Map(Object.entries(headers)));
    contentOf(path).then(
      (content) => response.setHeader('Content-Type', contentTypes[extname(path)] ?? 'text/plain').end(content),
      (error: unknown) => response.writeHead(404).end(String(error)),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { address: `http://127.0.0.1:${port}/index.html`, [Symbol.asyncDispose]: () => closed(server) };
}

/** What is served under a path; browsers read no types, so they are taken off. */
async function contentOf(path: string): Promise<string> {
  const text = await readFile(path.startsWith('/dist/') ? `.${path}` : join('e2e', 'page', path), 'utf8');
  return extname(path) === '.ts' ? (await transform(text, { loader: 'ts' })).code : text;
}

function closed(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve, reject) => {
    server.close((error) => {
      if (error === undefined) resolve();
      else reject(error);
    });
  });
}
