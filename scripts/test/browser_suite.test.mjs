/** The public suite runs in Node and in a browser, file for file. */

import { relative } from 'node:path';
import { expect, it } from 'vitest';
import { nodeOnly } from '../../tests/node_only.ts';
import { root, run } from '../tools.mjs';

/** The files of `tests/` and `ts/` that a project of Vitest runs. */
function filesOf(project) {
  const parameters = ['list', '--filesOnly', '--json', '--project', project];
  const { ok, stdout, output } = run('vitest', parameters, { quiet: true });
  if (!ok) throw new Error(output);
  return JSON.parse(stdout)
    .map(({ file }) => relative(root, file))
    .filter((file) => /^(tests|ts)\//.test(file))
    .sort();
}

it('only_the_files_that_are_named_with_a_reason_run_in_Node_alone', () => {
  const [inNode, inBrowser] = [filesOf('unit'), filesOf('browser')];
  expect(inNode.length).toBeGreaterThan(40);
  expect(inBrowser).toEqual(inNode.filter((file) => !(file in nodeOnly)));
  expect(inNode).toEqual(expect.arrayContaining(Object.keys(nodeOnly)));
});
