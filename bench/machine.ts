/** What a run was made on. */

import { arch, availableParallelism, cpus, totalmem } from 'node:os';

export function describeMachine(): Readonly<Record<string, string>> {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown CPU',
    cores: `${availableParallelism()} cores`,
    memory: `${(totalmem() / 2 ** 30).toFixed(0)} GiB`,
    platform: `${process.platform} ${arch()}`,
    node: `Node ${process.version}`,
  };
}
