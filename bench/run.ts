/** One run of a suite: checks, measures, judges, prints and writes what it has found. */

import { writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { checkAgreement } from './agreement.ts';
import { EnginePool, type StartEngine } from './engine_pool.ts';
import { startNodeEngine, startPytorch } from './engine_process.ts';
import { type Figure, judge } from './figures.ts';
import { describeMachine } from './machine.ts';
import { type Findings, measureWorkload } from './measure.ts';
import type { Options } from './options.ts';
import { verdictTable } from './report.ts';
import type { Workload } from './workloads.ts';

/** What is particular to a suite. */
export interface SuiteParts<Extras> {
  /** How its engines start, where they are not processes of Node. */
  readonly start?: StartEngine;
  /** Workloads whose contenders' tensors do not fit into memory together: groups of names, measured one after the other. */
  readonly groupsOf?: (workload: Workload) => readonly (readonly string[])[] | null;
  /** What is measured besides steps of layers. */
  readonly measureExtras: () => Promise<Extras>;
  readonly figures: (found: Findings, extras: Extras) => readonly Figure[];
  /** Tables and lines to print. */
  readonly report: (found: Findings, extras: Extras) => readonly string[];
}

/** @returns the exit code: 1 where a figure that is checked is missed, or an engine has failed. */
export async function runSuite<Extras>(options: Options, parts: SuiteParts<Extras>): Promise<number> {
  const machine = { ...describeMachine(), load: `load ${(loadavg()[0] ?? 0).toFixed(1)} before` };
  const { engines, ...found } = await measureAll(options, parts);
  const extras = await parts.measureExtras();
  const verdicts = parts.figures(found, extras).map(judge);
  const results = {
    date: new Date().toISOString(),
    machine,
    engines,
    isQuick: options.isQuick,
    ...found,
    ...extras,
    verdicts,
  };
  writeFileSync(options.jsonFile, `${JSON.stringify(results, null, 1)}\n`);
  for (const text of parts.report(found, extras)) if (text !== '') console.log(`${text}\n`);
  if (options.isChecking) console.log(`${verdictTable(verdicts)}\n`);
  console.log(Object.values(engines).join(' · '));
  console.log(Object.values(machine).join(' · '));
  for (const { workload, engine, reason } of found.failures) console.log(`failed: ${engine} on ${workload}: ${reason}`);
  const isMissed = options.isChecking && verdicts.some(({ missed }) => missed.length > 0);
  return isMissed || found.failures.length > 0 ? 1 : 0;
}

async function measureAll<Extras>(
  { workloads, contenders, budget, torchPython }: Options,
  { start, groupsOf }: SuiteParts<Extras>,
): Promise<Findings & { readonly engines: Readonly<Record<string, string>> }> {
  const startProcess: StartEngine = (name) =>
    name.startsWith('pytorch') ? startPytorch(torchPython) : startNodeEngine(name);
  const pool = new EnginePool(start ?? startProcess);
  try {
    const found: Findings[] = [{ measurements: [], counts: [], failures: await checkAgreement(contenders, pool) }];
    const isAble = (engine: string) => !found[0]?.failures.some((failure) => failure.engine === engine);
    const able = contenders.filter(({ engine }) => isAble(engine));
    for (const [i, workload] of workloads.entries()) {
      const began = performance.now();
      for (const names of groupsOf?.(workload) ?? [null]) {
        const group = able.filter(({ name }) => names?.includes(name) ?? true);
        found.push(await measureWorkload(workload, group, pool, budget));
      }
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      console.error(`[${i + 1}/${workloads.length}] ${workload.name}: ${seconds} s`);
    }
    return {
      measurements: found.flatMap(({ measurements }) => measurements),
      counts: found.flatMap(({ counts }) => counts),
      failures: found.flatMap(({ failures }) => failures),
      engines: pool.versions,
    };
  } finally {
    pool.stop();
  }
}
