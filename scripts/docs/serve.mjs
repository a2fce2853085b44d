/** A static server without special headers, that has the site in a folder as any server may. */

import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';

const folder = '/some/folder/';
const types = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.json': 'application/json',
};

/**
 * Serves a built site on a free port of this machine.
 * @param {string} site - its folder
 * @returns {Promise<{ base: string, close: () => void }>} the address of the folder, and what ends the server
 */
export async function serveSite(site) {
  const server = createServer(({ url }, answer) => {
    const file = join(site, decodeURIComponent(new URL(url, 'http://site').pathname).replace(folder, '/'));
    if (!url.startsWith(folder) || !existsSync(file) || !statSync(file).isFile()) {
      answer.writeHead(404).end();
      return;
    }
    answer.writeHead(200, { 'content-type': types[extname(file)] ?? 'application/octet-stream' });
    createReadStream(file).pipe(answer);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { base: `http://127.0.0.1:${server.address().port}${folder}`, close };
}
