/** What the devices of a group compute together, each its share of a batch. `firstSample` is the global number of the share's first. */

import { commands, type Row } from './commands.ts';

export const groupCommands = {
  /** The running statistics, which are the same for all shares, are updated where they are wanted. */
  jointBatchNorm: { ...commands.batchNorm, epsMode: 'epsMode', firstSample: 'number' },
  /** dweight and dbias are of one device at most. */
  jointBatchNormBackward: {
    x: 'input',
    dy: 'input',
    dx: 'output?',
    layout: 'batch',
    firstSample: 'number',
    statistics: 'input',
    weight: 'input?',
    dweight: 'output?',
    dbias: 'output?',
    /** Eps, where the variance was max(var, eps); absent where it was var + eps. */
    clampEps: 'number?',
  },
} as const satisfies Record<string, Row>;
