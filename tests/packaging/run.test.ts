/** The command `syncbn-run`: in a user's project, and on several "machines" that meet at a NATS server. */

import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { type NatsServer, startNatsServer } from '../support/nats_server.ts';

const program = `export default async function main({ rank, size, group, args }) {
  const sum = await group.allReduce(Float32Array.of(rank + 1));
  if (args.includes('--fail')) {
    if (rank === size - 1) throw new Error('a fault of the program');
    await group.barrier();
  }
  const { RANK, LOCAL_RANK, WORLD_SIZE, LOCAL_WORLD_SIZE, GROUP_RANK } = process.env;
  console.log(JSON.stringify({ sum: sum[0], args, places: [RANK, LOCAL_RANK, WORLD_SIZE, LOCAL_WORLD_SIZE, GROUP_RANK].join(' ') }));
}
`;

interface Ended {
  readonly code: number;
  readonly lines: readonly unknown[];
  readonly error: string;
}

/** Runs the command to its end. */
function run(command: string, cwd: string, args: readonly string[]): Promise<Ended> {
  return new Promise((done) => {
    const child = execFile(process.execPath, [command, ...args], { cwd, timeout: 60_000 }, (_, stdout, stderr) => {
      const lines = stdout.split('\n').filter((line) => line.startsWith('{'));
      done({ code: child.exitCode ?? -1, lines: lines.map((line) => JSON.parse(line) as unknown), error: stderr });
    });
  });
}

const placesOf = ({ lines }: Ended): string[] => lines.map((line) => (line as { places: string }).places).sort();

describe('syncbn-run', () => {
  let project: string;
  const inProject = (...args: string[]): Promise<Ended> => run('node_modules/syncbn/bin/syncbn_run.mjs', project, args);

  beforeAll(() => {
    project = inject('userProject');
    writeFileSync(join(project, 'ranks.mjs'), program);
  });

  it.each([['--nproc', '3'], ['--nproc-per-node=3'], ['--nproc_per_node', '3']])(
    'runs_the_default_export_in_each_rank: %s %s',
    async (...options) => {
      const ended = await inProject(...options, 'ranks.mjs', '--lr', '0.1');
      expect(ended.error).toBe('');
      expect(ended.code).toBe(0);
      expect(placesOf(ended)).toEqual(['0 0 3 3 0', '1 1 3 3 0', '2 2 3 3 0']);
      expect(ended.lines).toContainEqual({ sum: 6, args: ['--lr', '0.1'], places: '1 1 3 3 0' });
    },
  );

  it('ends_with_the_error_of_the_rank_that_failed', async () => {
    const { code, error } = await inProject('--nproc', '2', 'ranks.mjs', '--fail');
    expect(code).toBe(1);
    expect(error).toMatch(/^syncbn-run: rank 1 has failed:\nError: a fault of the program\n +at main .*ranks\.mjs/);
  });

  it.each([
    [['--nproc', '0', 'ranks.mjs'], '--nproc: expected an integer of at least 1, got 0'],
    [['--node-rank', '1', 'ranks.mjs'], '--node-rank: expected an integer from 0 to 0, got 1'],
    [['--timeout', 'x', 'ranks.mjs'], '--timeout: expected more than 0 seconds, got x'],
    [['--nnodes', '2', 'ranks.mjs'], 'machines meet at a NATS server'],
    [['--workers', '2', 'ranks.mjs'], '--workers'],
    [['absent.mjs'], 'there is no file'],
    [[], 'expected a program to run'],
  ])('tells_what_is_wrong_with_%j, and how it is used', async (args, text) => {
    const { code, error } = await inProject(...args);
    expect(code).toBe(2);
    expect(error.split('\n')[0]).toContain(text);
    expect(error).toContain('usage: syncbn-run [options] program.js');
  });
});

describe('syncbn-run on several machines', () => {
  let server: NatsServer;
  let jobs = 0;
  beforeAll(async () => {
    server = await startNatsServer();
  });
  afterAll(() => server.stop());

  function runNodes(nodes: number, nproc: number, ...args: string[]): Promise<Ended[]> {
    jobs += 1;
    const servers = `nats://127.0.0.1:${server.port}`;
    const common = ['--servers', servers, '--job', `run-${jobs}`, '--nnodes', String(nodes), '--nproc', String(nproc)];
    const file = join(inject('userProject'), 'ranks.mjs');
    return Promise.all(
      Array.from({ length: nodes }, (_, node) =>
        run(resolve('bin/syncbn_run.mjs'), process.cwd(), [...common, '--node-rank', String(node), file, ...args]),
      ),
    );
  }

  it('numbers_the_ranks_of_all_of_them', async () => {
    const ended = await runNodes(2, 2);
    expect(ended.map(({ code, error }) => ({ code, error }))).toEqual([0, 1].map(() => ({ code: 0, error: '' })));
    expect(ended.map(placesOf)).toEqual([
      ['0 0 4 2 0', '1 1 4 2 0'],
      ['2 0 4 2 1', '3 1 4 2 1'],
    ]);
    expect(ended.flatMap(({ lines }) => lines)).toContainEqual({ sum: 10, args: [], places: '3 1 4 2 1' });
  });

  it('ends_all_of_them_with_the_first_error', async () => {
    const [first, second] = await runNodes(2, 1, '--fail');
    expect([first?.code, second?.code]).toEqual([1, 1]);
    expect(second?.error).toContain('rank 1 has failed:\nError: a fault of the program');
    expect(first?.error).toContain('rank 1 of the process group has failed: Error: a fault of the program');
  });
});
