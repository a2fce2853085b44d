/** Workers of the package as it would be published, on every platform that has no page: in Node, Deno and Bun. */

import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runInUserProject, type Runtime } from './user_project.ts';

/** Bun's install script moves its program to where its command expects it; npm may have been told to run none. */
function bunCommand(): string {
  const ofPlatforms = resolve('node_modules', '@oven');
  const programs = readdirSync(ofPlatforms).map((platform) => join(ofPlatforms, platform, 'bin', 'bun'));
  return programs.find((program) => existsSync(program)) ?? 'bun';
}

const asModule = "const { tensor } = await import('syncbn');";

const platforms: readonly { platform: string; file: string; load: string; runtime?: Runtime }[] = [
  { platform: 'an ES module in Node', file: 'workers.mjs', load: asModule },
  { platform: 'a CommonJS module in Node', file: 'workers.cjs', load: "const { tensor } = require('syncbn');" },
  { platform: 'Deno', file: 'workers.mjs', load: asModule, runtime: ['deno', 'run', '--allow-all'] },
  { platform: 'Bun', file: 'workers.mjs', load: asModule, runtime: [bunCommand(), 'run'] },
];

describe.each(platforms)('workers, from $platform', ({ file, load, runtime }) => {
  it('start_without_a_file_to_serve_and_let_the_program_end', () => {
    const main = `const x = await tensor([1, 2], [2], { device: 'worker:0' }).to('worker:1');
      console.log(JSON.stringify([x.device, ...(await x.data())]));`;
    expect(runInUserProject(file, `(async () => { ${load} ${main} })();`, runtime)).toEqual(['worker:1', 1, 2]);
  });
});
