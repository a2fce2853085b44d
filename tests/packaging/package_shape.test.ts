/** The packed package as the tools see it that judge packages: entry points, files, types in every way of resolving them. */

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { describe, expect, inject, it } from 'vitest';

const installed = join(inject('userProject'), 'node_modules', 'syncbn');

describe('the packed package', () => {
  it('draws_no_complaint_from_publint', async () => {
    const { messages, pkg } = await publint({ pkgDir: installed, strict: true, pack: false });
    expect(messages.map((message) => formatMessage(message, pkg))).toEqual([]);
  });

  it('has_types_that_resolve_in_every_mode', () => {
    const attw = join(process.cwd(), 'node_modules', '.bin', 'attw');
    expect(() =>
      // A worker's program is loaded by its address, not imported: it has nothing to type.
      execFileSync(attw, [inject('tarball'), '--no-color', '--exclude-entrypoints', './worker'], {
        encoding: 'utf8',
        stdio: 'pipe',
      }),
    ).not.toThrow();
  });

  it('contains_what_is_published_and_nothing_else', () => {
    const listed = execFileSync('tar', ['-tzf', inject('tarball')], { encoding: 'utf8' });
    const files = listed.split('\n').filter((name) => name !== '');
    expect(files.sort()).toEqual(
      ['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json', ...distFiles].map((name) => `package/${name}`).sort(),
    );
  });
});

const distFiles = [
  ...[
    'forward_on_devices',
    'index',
    'joint_pass',
    'library',
    'distributed',
    'meeting_point',
    'safetensors',
    'synchronized_batch_norm_forward',
    'synchronized_batch_norm_ranks',
    'synchronized_batch_norm_shards',
    'tfjs',
    'webgpu_device',
    'worker_device',
  ].flatMap((name) => [`${name}.js`, `${name}.js.map`, `${name}.cjs`, `${name}.cjs.map`]),
  ...[
    ...['index', 'distributed', 'safetensors', 'tfjs'].flatMap((name) => [`${name}.d.ts`, `${name}.d.cts`]),
    'worker.js',
  ],
].map((name) => `dist/${name}`);
