/** The package inside a user's bundle: how large it is, and whether it needs anything but a web page's globals. */

import { createContext, runInContext } from 'node:vm';
import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { bundleUserModules, bundleUserProgram } from './user_project.ts';
import { expectedStep } from './expected_step.ts';
import { webGlobals } from './web_globals.ts';

/** Kilobytes are thousands here, so that the limits hold whichever way one counts. */
const mostBytes = 80_000;
const mostBytesOfGpus = 130_000;

describe('a bundle of a user’s program, minified, with the WebAssembly inlined', () => {
  let bundle: string;
  beforeAll(async () => {
    bundle = await bundleUserProgram();
  });

  it('is_at_most_80_kB_compressed, and what only several devices, workers or GPUs need is loaded later', async () => {
    const modules = await bundleUserModules();
    const [first, later] = [modules.first, modules.later].map((texts) =>
      texts.map((text) => gzipSync(text, { level: 9 }).length),
    ) as [number[], number[]];
    console.log(`bundle: ${first.join(' + ')} bytes at first, ${later.join(' + ')} later, gzip`);
    expect(first.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThanOrEqual(mostBytes);
    expect(Math.max(...later)).toBeLessThanOrEqual(mostBytesOfGpus);
  });

  it('trains_where_there_are_only_the_globals_of_a_web_page', async () => {
    const context = createContext({ ...webGlobals });
    const result: unknown = await runInContext(`${bundle}; app.trainOneStep()`, context);
    // The objects come from another realm, whose prototypes differ.
    expect(JSON.parse(JSON.stringify(result))).toEqual(expectedStep);
  });
});
