/** Node: nothing here can install it, since it is what runs this. */

import { isAtLeast } from '../tools.mjs';
import { say, SetupError } from './step.mjs';

/** The library runs on any Node 20; ESLint and Vitest ask for this release of it. */
const leastVersion = '20.19';

export function setUpNode() {
  const { node } = process.versions;
  if (!isAtLeast(node, leastVersion)) {
    throw new SetupError(
      `this is Node ${node}, older than ${leastVersion}`,
      'install Node as https://nodejs.org/download says',
    );
  }
  say('Node', node);
}
