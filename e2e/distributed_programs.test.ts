/** The programs of `docs/distributed.md`, run as users run them: files in a folder, with the package in `dist/`. */

import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startNatsServer } from '../tests/support/nats_server.ts';

// Inside the repository, where `syncbn` is this package.
const folder = resolve('build', 'e2e', 'distributed_programs');
const blocks = [
  ...readFileSync('docs/distributed.md', 'utf8').matchAll(/^```(\w+)\n(?:\/\/ (\w+\.js)\n)?([^]*?)^```$/gm),
];
const programs = new Map(
  blocks.flatMap(([, , name, code = '']) => (name === undefined ? [] : [[name, code] as const])),
);

beforeAll(() => {
  mkdirSync(folder, { recursive: true });
  for (const [name, code] of programs) writeFileSync(join(folder, name), code);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs Node in the folder. @returns what it prints. */
async function run(parameters: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string[]> {
  const child = spawn(process.execPath, parameters, { cwd: folder, env: { ...process.env, ...env } });
  let printed = '';
  for (const output of [child.stdout, child.stderr]) output.on('data', (text: Buffer) => (printed += text.toString()));
  const code = await new Promise((done) => child.on('close', done));
  expect(code, printed).toBe(0);
  return printed.trimEnd().split('\n');
}

/** What the comments of a program say that it prints. */
const saidBy = (name: string): string[] =>
  [...(programs.get(name) ?? '').matchAll(/\/\/ → (.*)$/gm)].map(([, said = '']) => said);

describe('docs/distributed.md', () => {
  it('has_no_program_but_those_that_run_here_and_those_that_the_test_of_all_pages_runs', () => {
    expect([...programs.keys()]).toEqual(['main.js', 'train.js', 'one_of_many.js']);
    const languages = blocks.filter(([, , name]) => name === undefined).map(([, language]) => language);
    expect(languages.filter((language) => !['js', 'ts', 'sh', 'txt'].includes(language ?? ''))).toEqual([]);
  });

  it('starts_ranks_in_threads', async () => {
    expect(await run(['main.js'])).toEqual(saidBy('main.js'));
  });

  it('starts_the_same_ranks_from_the_command_line', async () => {
    expect(await run([resolve('bin/syncbn_run.mjs'), '--nproc', '2', 'train.js'])).toEqual(['']);
  });

  it('starts_ranks_on_several_machines', async () => {
    await using server = await startNatsServer('authorization { users: [{ user: digits, password: "a-secret" }] }');
    const env = { BROKER: `nats://127.0.0.1:${server.port}`, WORLD_SIZE: '2' };
    const printed = await Promise.all(['0', '1'].map((rank) => run(['one_of_many.js'], { ...env, RANK: rank })));
    expect(saidBy('one_of_many.js')).toHaveLength(1);
    for (const lines of printed) expect(lines).toEqual(saidBy('one_of_many.js'));
  });

  it('runs_the_command_line_on_two_machines_that_meet_at_a_server', async () => {
    await using server = await startNatsServer('authorization { users: [{ user: digits, password: "a-secret" }] }');
    const env = { NATS_USER: 'digits', NATS_PASSWORD: 'a-secret' };
    const ofNode = (node: string): Promise<string[]> =>
      run(
        [
          ...[resolve('bin/syncbn_run.mjs'), '--nproc', '1', '--nnodes', '2', '--node-rank', node],
          ...['--servers', `nats://127.0.0.1:${server.port}`, '--job', 'digits-7', 'train.js'],
        ],
        env,
      );
    expect(await Promise.all([ofNode('0'), ofNode('1')])).toEqual([[''], ['']]);
  });
});
