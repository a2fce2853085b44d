/** `npm run bench`, `bench:parallel` and `bench:gpu`: see README.md. With `serve` this program is one of its own child processes. */

import { compareBuilds } from './compare.ts';
import { CommanderError, type Options, readCommandLine } from './options.ts';
import { runSuite } from './run.ts';
import { textOf } from './measure.ts';

try {
  const task = readCommandLine(process.argv.slice(2), process.env);
  if ('run' in task) process.exitCode = await run(task.run);
  else await answerParent('serve' in task ? task.serve : null);
} catch (error) {
  // Commander has printed its message already.
  if (!(error instanceof CommanderError)) console.error(textOf(error));
  process.exitCode = error instanceof CommanderError ? error.exitCode : 1;
}

async function run(options: Options): Promise<number> {
  if (options.against !== null) return compareBuilds(options, options.against);
  switch (options.suite) {
    case 'cpu':
      return runSuite(options, (await import('./cpu.ts')).cpuParts(options));
    case 'parallel':
      return runSuite(options, (await import('./parallel/suite.ts')).parallelParts(options));
    case 'gpu':
      return (await import('./gpu/suite.ts')).runGpu(options);
  }
}

/**
 * Serves an engine until the parent closes the pipe, or tells Node's WebGPU adapter.
 * @param engine - `null`: the adapter is asked for.
 */
async function answerParent(engine: string | null): Promise<never> {
  const { openEngine, serve } = await import('./serve.ts');
  if (engine?.startsWith('node/') === false) await serve(await openEngine(engine));
  else {
    const { describeNodeAdapter, openNodeGpuEngine } = await import('./gpu/node_engine.ts');
    if (engine === null) console.log(JSON.stringify(await describeNodeAdapter()));
    else await serve(await openNodeGpuEngine(engine));
  }
  // Threads of a platform would keep the process.
  process.exit();
}
