/** The server whose configuration `docs/distributed.md` shows. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type NatsServer, startNatsServer } from './nats_server.ts';

/** What the configuration names. */
export type Certificate = Readonly<Record<'broker.pem' | 'broker.key', string>>;

/** Starts it on free ports, with a certificate of the test. */
export function startDocumentedServer(certificate: Certificate): Promise<NatsServer> {
  const page = readFileSync('docs/distributed.md', 'utf8');
  const [, documented] = /^```txt\n(# broker\.conf\n[^]*?)^```$/m.exec(page) ?? [];
  if (documented === undefined) throw new Error('docs/distributed.md: expected a block of broker.conf');
  const config = documented
    .replaceAll(/"0\.0\.0\.0:\d+"/g, '"127.0.0.1:-1"')
    .replaceAll(/"(broker\.\w+)"/g, '"FOLDER/$1"');
  return startNatsServer(config, { files: certificate });
}

/** A certificate of this machine, which has signed itself. */
export function makeCertificate(): Certificate {
  const folder = mkdtempSync(join(tmpdir(), 'syncbn-certificate-'));
  try {
    const [cert, key] = [join(folder, 'cert'), join(folder, 'key')];
    const name = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
    const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    execFileSync('openssl', ['req', '-x509', '-days', '2', ...newKey, ...name, '-keyout', key, '-out', cert], {
      stdio: 'pipe',
    });
    return { 'broker.pem': readFileSync(cert, 'utf8'), 'broker.key': readFileSync(key, 'utf8') };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
