/**
 * `npm run release:bill`, a step of `npm test`: what the package is made of and built with, by name, version and licence, in the format of CycloneDX 1.6. It ends with 1 where a licence is not
 * one of those that are allowed: of Rust crates, whose code is in the WebAssembly, and of npm packages, which only build and test.
 */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, run } from '../tools.mjs';

/** Licences that ask for no more than their own text. */
const free = [
  'MIT',
  'MIT-0',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  '0BSD',
  'ISC',
  'Zlib',
  'Unlicense',
  'CC0-1.0',
  'Unicode-3.0',
  'BlueOak-1.0.0',
];

/** And those that tools which are not published may have. */
const ofTools = [
  ...free,
  'MPL-2.0',
  'CC-BY-4.0',
  'CC-BY-3.0',
  'Python-2.0',
  'BSL-1.0',
  'Apache-2.0 WITH LLVM-exception',
  'WTFPL',
  // Of tools alone whose own code is in nothing that is published.
  'LGPL-3.0-only',
];

/** Whether a licence in the language of SPDX can be chosen so that all its parts are allowed. Without brackets, OR binds less than AND. */
export function isAllowed(licence, allowed) {
  const plain = licence.replaceAll('/', ' OR ');
  const inner = /\(([^()]*)\)/.exec(plain);
  if (inner !== null) {
    const value = isAllowed(inner[1], allowed) ? allowed[0] : 'refused';
    return isAllowed(plain.replace(inner[0], value), allowed);
  }
  return plain.split(' OR ').some((choice) => choice.split(' AND ').every((part) => allowed.includes(part.trim())));
}

/** @returns {{ name: string, version: string, licence: string, ships: boolean, kind: string }[]} */
export function components() {
  const { stdout, ok, output } = run(
    'cargo',
    ['metadata', '--format-version', '1', '--locked', '--filter-platform', 'wasm32-unknown-unknown'],
    {
      quiet: true,
    },
  );
  if (!ok) throw new Error(`cargo metadata: ${output}`);
  const { packages, workspace_members: own } = JSON.parse(stdout);
  const crates = packages
    .filter(({ id }) => !own.includes(id))
    .map(({ name, version, license }) => ({ name, version, licence: license ?? 'none', ships: true, kind: 'cargo' }));
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  const npm = Object.entries(lock.packages)
    .filter(([path]) => path !== '')
    .map(([path, { version, license }]) => {
      const name = path.split('node_modules/').at(-1);
      return { name, version, licence: license ?? licenceIn(path), ships: false, kind: 'npm' };
    });
  return [...crates, ...npm];
}

/** Of a package whose entry in the lock file has none. */
function licenceIn(path) {
  try {
    const { license, licenses } = JSON.parse(readFileSync(join(root, path, 'package.json'), 'utf8'));
    return license?.type ?? license ?? licenses?.map(({ type }) => type).join(' OR ') ?? 'none';
  } catch {
    return 'none';
  }
}

if (process.argv[1]?.endsWith('bill.mjs')) {
  const all = components();
  const bill = {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    components: all.map(({ name, version, licence, ships, kind }) => ({
      type: 'library',
      name,
      version,
      scope: ships ? 'required' : 'excluded',
      purl: `pkg:${kind}/${name.replace('@', '%40')}@${version}`,
      licenses: [{ expression: licence }],
    })),
  };
  mkdirSync(join(root, 'build'), { recursive: true });
  writeFileSync(join(root, 'build', 'bill_of_materials.json'), `${JSON.stringify(bill, null, 2)}\n`);
  const refused = all.filter(({ licence, ships }) => !isAllowed(licence, ships ? free : ofTools));
  for (const { kind, name, version, licence } of refused) console.error(`${kind} ${name} ${version}: ${licence}`);
  console.log(
    `bill: ${all.length} components in build/bill_of_materials.json, ${refused.length} with a licence that is not allowed`,
  );
  process.exitCode = refused.length > 0 ? 1 : 0;
}
