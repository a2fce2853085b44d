/** The packed package as the tools see it that judge packages: entry points, files, types in every way of resolving them. */

import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { describe, expect, inject, it } from 'vitest';

const installed = join(inject('userProject'), 'node_modules', 'syncbn');

/** What is loaded by its address, as a script or a WebAssembly module: nothing requires it, whatever the way of resolving. */
const toLoad = ['./worker', './iife', './cpu.wasm'];

describe('the packed package', () => {
  it('draws_no_complaint_from_publint', async () => {
    const { messages, pkg } = await publint({ pkgDir: installed, strict: true, pack: false });
    expect(messages.map((message) => formatMessage(message, pkg))).toEqual([]);
  });

  it('has_types_that_resolve_in_every_mode', () => {
    const attw = join(process.cwd(), 'node_modules', '.bin', 'attw');
    expect(() =>
      execFileSync(attw, [inject('tarball'), '--no-color', '--exclude-entrypoints', ...toLoad], {
        encoding: 'utf8',
        stdio: 'pipe',
      }),
    ).not.toThrow();
  });

  it('contains_what_is_published_and_nothing_else', () => {
    const files = listed().filter((name) => !name.startsWith('docs/'));
    expect(files.sort()).toEqual([...others, ...distFiles].sort());
  });

  it('contains_every_file_that_readme_links_to', () => {
    const readme = readFileSync(join(installed, 'README.md'), 'utf8');
    const targets = [...readme.matchAll(/\]\(([^)#\s]+)/g)].map(([, target = '']) => target);
    expect(targets.length).toBeGreaterThan(10);
    expect(targets.filter((target) => !listed().includes(target))).toEqual([]);
  });

  it('is_at_most_800_kB', () => {
    // Kilobytes are thousands here.
    expect(statSync(inject('tarball')).size).toBeLessThanOrEqual(800_000);
  });

  it('names_no_address_that_is_not_there', () => {
    const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as Record<string, unknown>;
    expect(Object.keys(manifest)).not.toEqual(
      expect.arrayContaining([expect.stringMatching(/^(repository|homepage|bugs)$/)]),
    );
  });

  it('has_no_file_that_imports_another_for_nothing', () => {
    const scripts = distFiles.filter((name) => name.endsWith('.js'));
    const idle = scripts.filter((name) => /^import ?"/m.test(readFileSync(join(installed, name), 'utf8')));
    expect(idle).toEqual([]);
  });

  it('refers_to_no_source_maps', () => {
    const scripts = distFiles.filter((name) => /\.c?js$/.test(name));
    expect(scripts.filter((name) => readFileSync(join(installed, name), 'utf8').includes('sourceMappingURL'))).toEqual(
      [],
    );
  });
});

/** Names of the files in the package. */
function listed(): string[] {
  const text = execFileSync('tar', ['-tzf', inject('tarball')], { encoding: 'utf8' });
  return text
    .split('\n')
    .filter((name) => name !== '')
    .map((name) => name.replace(/^package\//, ''));
}

const others = [
  ...['CHANGELOG.md', 'LICENSE', 'README.md', 'SECURITY.md', 'package.json'],
  ...['bin/rank_on_node.mjs', 'bin/syncbn_run.mjs'],
];

const distFiles = [
  ...[
    'collectives',
    'distributed',
    'distributed_library',
    'forward_on_devices',
    'index',
    'joint_pass',
    'library',
    'main',
    'meeting_point',
    'nats',
    'ports',
    'progress',
    'run_rank',
    'safetensors',
    'shared',
    'slim',
    'start_ranks',
    'synchronized_batch_norm_forward',
    'synchronized_batch_norm_ranks',
    'synchronized_batch_norm_shards',
    'tfjs',
    'torch_assignments',
    'webgpu_device',
    'worker_device',
  ].flatMap((name) => [`${name}.js`, `${name}.cjs`]),
  ...['distributed', 'index', 'nats', 'safetensors', 'slim', 'tfjs'].flatMap((name) => [
    `${name}.d.ts`,
    `${name}.d.cts`,
  ]),
  ...['cpu.wasm', 'gpu_module.js', 'syncbn.iife.d.ts', 'syncbn.iife.js', 'wasm.d.ts', 'worker.d.ts', 'worker.js'],
].map((name) => `dist/${name}`);
