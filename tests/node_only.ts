/**
 * Tests of `tests/` and `ts/` that run in Node and in no browser, with the reason. All others run on both: a new test is in
 * both unless it is entered here. The packaging tests are a project of their own.
 */
export const nodeOnly: Readonly<Record<string, string>> = {
  'tests/device/core_count.test.ts': 'asks Node for the number of cores',
  'tests/device/traps.test.ts':
    'replaces the text of the program that workers run; what it tests is the same everywhere',
  'tests/device/worker_lost.test.ts': 'ends workers from outside, by the events of Node',
  'tests/device/worker_memory.test.ts':
    'replaces the text of the program that workers run; what it tests is the same everywhere',
  'tests/device/worker_process.test.ts': 'starts processes',
  'tests/device/worker_shared.test.ts': 'looks at what Node posts, where threads share memory',
  'tests/device/worker_group.test.ts': 'ends workers from outside, by the events of Node',
  'ts/distributed/shared_inbox.test.ts': 'threads share memory in cross-origin isolated pages only',
  'ts/device/worker_exchange.test.ts': 'threads share memory in cross-origin isolated pages only',
  'ts/device/worker_group.test.ts': 'threads share memory in cross-origin isolated pages only',
  'ts/device/worker_host.test.ts': 'hears from Node which workers have ended',
  'ts/device/worker_joint.test.ts': 'threads share memory in cross-origin isolated pages only',
  'ts/device/worker_ring.test.ts': 'threads share memory in cross-origin isolated pages only',
  'tests/tfjs/progress.test.ts': 'draws on the terminal of Node',
  'tests/tfjs/real_models.test.ts': 'reads the models from files of a package',
  'tests/tensor/other_realm.test.ts': 'makes realms by the `vm` of Node',
  'tests/tensor/two_copies.test.ts': 'loads the library twice, by the module cache of Vitest in Node',
  'tests/docs/examples_run.test.ts': 'reads the pages and writes their programs to files',
  'tests/docs/links.test.ts': 'reads the pages',
  'tests/docs/troubleshooting.test.ts': 'reads the page and the sources',
  'tests/distributed/damaged_shared_memory.test.ts': 'threads share memory in cross-origin isolated pages only',
  'tests/distributed/nats.test.ts': 'starts processes and a NATS server',
  'tests/distributed/nats_bits.test.ts': 'starts a NATS server',
  'tests/distributed/nats_credentials.test.ts': 'starts NATS servers',
  'tests/distributed/nats_failures.test.ts': 'starts processes and a NATS server',
  'tests/distributed/nats_failures_in_time.test.ts': 'starts processes and a NATS server',
  'tests/lint/lint_rules.test.ts': 'calls ESLint and oxlint',
};
