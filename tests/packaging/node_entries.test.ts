/** The package in Node without a bundler, installed from what would be published. */

import { describe, expect, it } from 'vitest';
import { compileInUserProject, runInUserProject } from './user_project.ts';
import { expectedStep } from './expected_step.ts';

const listExports = 'console.log(JSON.stringify(Object.keys(syncbn).sort()));\n';

/** The names that users import; more may be added. */
const publicNames = [
  ...['tensor', 'Tensor', 'Module', 'Parameter', 'Sequential', 'defineFunction', 'noGrad'],
  ...['BatchNorm1d', 'BatchNorm2d', 'BatchNorm3d'],
  ...['SynchronizedBatchNorm1d', 'SynchronizedBatchNorm2d', 'SynchronizedBatchNorm3d'],
  ...['DataParallel', 'DataParallelWithCallBack', 'patchReplicationCallback'],
  ...['convertModel', 'devices', 'scope', 'init'],
];

const kinds = [
  {
    kind: 'an ES module',
    extension: 'mjs',
    load: "import * as syncbn from 'syncbn';\n",
    loadFiles: "import * as files from 'syncbn/safetensors';\n",
    loadGroups: "import * as groups from 'syncbn/distributed';\n",
    source: 'consumer.mts',
    use: "import { trainOneStep } from './consumer.mjs';\n",
  },
  {
    kind: 'a CommonJS module',
    extension: 'cjs',
    load: "const syncbn = require('syncbn');\n",
    loadFiles: "const files = require('syncbn/safetensors');\n",
    loadGroups: "const groups = require('syncbn/distributed');\n",
    source: 'consumer.cts',
    use: "const { trainOneStep } = require('./consumer.cjs');\n",
  },
];

describe.each(kinds)('used from $kind', ({ extension, load, loadFiles, loadGroups, source, use }) => {
  it('offers_every_public_name', () => {
    const names = runInUserProject(`names.${extension}`, load + listExports);
    expect(names).toEqual(expect.arrayContaining(publicNames));
  });

  it('compiles_under_the_strictest_types_and_trains', () => {
    compileInUserProject(source, ['--module', 'NodeNext', '--lib', 'ES2022']);
    const print = 'trainOneStep().then((result) => console.log(JSON.stringify(result)));\n';
    expect(runInUserProject(`train.${extension}`, use + print)).toEqual(expectedStep);
  });

  it('spreads_a_batch_over_ranks_with_the_errors_of_the_main_entry', () => {
    const program = `groups.runRanks(2, (processGroup) => {
      const bn = new syncbn.SynchronizedBatchNorm1d(1, { processGroup, eps: processGroup.rank + 1 });
      return bn.forward(syncbn.tensor([1], [1, 1])).catch((error) => error instanceof syncbn.CollectiveMismatchError);
    }).then((found) => console.log(JSON.stringify(found)));\n`;
    expect(runInUserProject(`groups.${extension}`, load + loadGroups + program)).toEqual([true, true]);
  });

  it('writes_and_reads_files_with_the_tensors_of_the_main_entry', () => {
    const saved = 'files.saveSafetensors({ n: 3, x: syncbn.tensor([1, 2]) })';
    const program = `${saved}.then(async (bytes) => {
      const { n, x } = files.loadSafetensors(bytes);
      console.log(JSON.stringify([n, x instanceof syncbn.Tensor, [...(await x.data())]]));
    });\n`;
    expect(runInUserProject(`files.${extension}`, load + loadFiles + program)).toEqual([3, true, [1, 2]]);
  });
});

it('compiles_for_a_bundler_with_the_types_of_a_browser', () => {
  const options = ['--module', 'ESNext', '--moduleResolution', 'Bundler', '--lib', 'ES2022,DOM', '--noEmit'];
  expect(() => {
    compileInUserProject('consumer.mts', options);
  }).not.toThrow();
});
