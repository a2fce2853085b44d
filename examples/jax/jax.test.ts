/** The example as its command runs it. */

import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';

it('learns on four devices, two samples each, what one device learns, if it synchronizes', () => {
  const output = execFileSync('node', ['scripts/run_ts.mjs', '--sources', 'examples/jax/main.ts', '--steps', '60'], {
    encoding: 'utf8',
  });
  const accuracy = (name: string): number => Number(new RegExp(`^${name}: ([\\d.]+) %`, 'm').exec(output)?.[1]);
  const one = accuracy('one device, 8 samples');
  expect(one).toBeGreaterThan(60);
  expect(Math.abs(accuracy('four devices, 2 samples each, synchronized') - one)).toBeLessThanOrEqual(1);
  expect(accuracy('four devices, 2 samples each, plain')).toBeLessThan(one - 5);
});
