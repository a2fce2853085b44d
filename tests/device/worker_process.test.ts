/** What workers mean for the process around them: seen in a process of its own, which loads the sources as a bundle. */

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { trapIn, withTrap } from '../support/traps.ts';

const root = process.cwd();
let folder = '';

beforeAll(async () => {
  mkdirSync(join(root, 'build'), { recursive: true });
  folder = mkdtempSync(join(root, 'build', 'worker-process-'));
  await build({
    absWorkingDir: root,
    entryPoints: { syncbn: 'ts/index.ts' },
    outdir: folder,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    outExtension: { '.js': '.mjs' },
    logLevel: 'warning',
    tsconfigRaw: {},
  });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a program that has `syncbn`; what it prints, once it ends by itself. */
function run(program: string): Promise<{ readonly output: string; readonly code: number | null }> {
  const imports = 'init, tensor, devices, BatchNorm1d';
  const text = `import { ${imports} } from ${JSON.stringify(join(folder, 'syncbn.mjs'))};\n${program}`;
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--expose-gc', '--input-type=module', '--eval', text], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.on('close', (code) => resolve({ output, code }));
  });
}

describe('a process', () => {
  it('ends although a worker was forgotten', async () => {
    const ended = await run("await init(['worker:0']); tensor([1], [1], { device: 'worker:0' }); console.log('done');");
    expect(ended).toEqual({ output: 'done\n', code: 0 });
  });

  it('stays alive for a result that is awaited, and for the start of a worker', async () => {
    const ended = await run(
      "tensor([1, 2], [2], { device: 'worker:0' }).to('worker:1').then(async (x) => console.log([...(await x.data())]));",
    );
    expect(ended).toEqual({ output: '[ 1, 2 ]\n', code: 0 });
  });

  it('lives after a kernel has trapped and everything it left behind was collected', async () => {
    const ended = await run(
      withTrap(
        trapIn('batchNorm'),
        `const forget = async () => {
          const [layer, x] = [new BatchNorm1d(3), tensor([1, 2, 3, 4, 5, 6], [2, 3])];
          await layer.forward(x).catch(({ name }) => console.log(name));
          devices.recreate('cpu:0');
        };
        await forget();
        for (let turn = 0; turn < 10; turn++) {
          gc();
          await new Promise((resolve) => setImmediate(resolve));
        }
        console.log('alive');`,
      ),
    );
    expect(ended).toEqual({ output: 'DeviceLostError\nalive\n', code: 0 });
  });

  it('uses no processor while its workers are idle', async () => {
    const { output } = await run(`
      await init(['worker:0', 'worker:1']);
      await new Promise((resolve) => setTimeout(resolve, 100));
      const before = process.cpuUsage();
      await new Promise((resolve) => setTimeout(resolve, 500));
      const { user, system } = process.cpuUsage(before);
      console.log((user + system) / 1000);
    `);
    // Milliseconds of half a second on two threads that wait; a busy one takes 500.
    expect(Number(output)).toBeLessThan(100);
  });
});
