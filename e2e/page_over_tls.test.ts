/** A page and Node in one job, each over TLS and with a password, at the server that `docs/distributed.md` shows. */

import { build } from 'esbuild';
import { type Browser, chromium } from 'playwright';
import { initProcessGroup } from 'syncbn/distributed';
import { nats } from 'syncbn/distributed/nats';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launchOptions } from '../scripts/browser.mjs';
import { makeCertificate, startDocumentedServer } from '../tests/support/documented_server.ts';

const place = { job: 'digits-7', worldSize: 2, timeout: 20 };
const program = `
  import { initProcessGroup } from 'syncbn/distributed';
  import { nats } from 'syncbn/distributed/nats';
  globalThis.sumWith = async (servers, pass) => {
    const backend = nats({ servers, credentials: { user: 'digits', pass } });
    const group = await initProcessGroup({ ...${JSON.stringify(place)}, backend, rank: 1 });
    const [sum] = await group.allReduce(Float32Array.of(2));
    await group.destroy();
    return sum;
  };
`;

let browser: Browser;
let script: string;
beforeAll(async () => {
  const bundling = build({
    stdin: { contents: program, resolveDir: process.cwd() },
    bundle: true,
    write: false,
    minify: true,
    format: 'esm',
    target: 'es2022',
    tsconfigRaw: {},
    logLevel: 'error',
  });
  [browser, script] = await Promise.all([
    chromium.launch(launchOptions()),
    bundling.then(({ outputFiles }) => outputFiles[0]?.text ?? ''),
  ]);
});
afterAll(() => browser.close());

it('a_page_and_Node_add_up_their_numbers_and_a_wrong_password_is_told', async () => {
  const certificate = makeCertificate();
  await using server = await startDocumentedServer(certificate);
  // A browser asks its user about a certificate that has signed itself.
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  await page.addScriptTag({ content: script, type: 'module' });
  await page.waitForFunction('globalThis.sumWith');
  const servers = `wss://localhost:${server.webSocketPort}`;
  const call = (pass: string): Promise<unknown> =>
    page.evaluate(`sumWith('${servers}', '${pass}').catch((error) => String(error))`);

  expect(await call('other')).toMatch(/RendezvousError: .*the server wss:.* does not take this rank: .*Authorization/);

  const inPage = call('a-secret');
  const tls = { ca: certificate['broker.pem'] };
  const credentials = { user: 'digits', pass: 'a-secret' };
  const backend = nats({ servers: `tls://localhost:${server.port}`, credentials, tls });
  const group = await initProcessGroup({ ...place, backend, rank: 0 });
  const [sum] = await group.allReduce(Float32Array.of(1));
  await group.destroy();
  expect([sum, await inPage]).toEqual([3, 3]);
  await context.close();
});
