/** The job itself: every run in turn, then the comparison, on the terminal and as a report. */

import { mkdir, open, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { init } from 'syncbn';
import { loadDataset } from './dataset.ts';
import { digitNet } from './network.ts';
import type { Options } from './options.ts';
import { createProgress, type Terminal } from './progress.ts';
import { randomStream } from './random.ts';
import { describeMachine } from './machine.ts';
import { reportPage } from './report/page.ts';
import { picture } from './report/picture.ts';
import { labelOf, runsFor } from './runs.ts';
import { conclusionOf, formatShare, formatTable, LEGEND, summarize } from './summary.ts';
import { type RunRecord, STREAMS, train } from './train.ts';
import { wrongDigits } from './wrong_digits.ts';

/** How many of the 10,000 images are kept for testing. */
const TEST_IMAGES = 1000;
const QUICK_TEST_IMAGES = 100;

/**
 * Trains all runs, prints the table and writes the report.
 *
 * @param output - gets the result.
 * @param messages - gets the progress and what went wrong.
 * @returns the exit code: 2 when there is no such device, or the report cannot be written where it should, which is found out
 * before any training.
 */
export async function digits(options: Options, output: NodeJS.WritableStream, messages: Terminal): Promise<number> {
  const { device, devices, batch, quick, seed, steps } = options;
  const report = resolve(options.report);
  try {
    await checkWritable(report);
  } catch (error) {
    messages.write(`error: --report ${options.report}: expected a file that can be written, got ${String(error)}\n`);
    return 2;
  }
  try {
    await init([device]);
  } catch (error) {
    messages.write(`error: --device ${device}: ${error instanceof Error ? error.message : String(error)}\n`);
    return 2;
  }

  const start = performance.now();
  const dataset = loadDataset(quick ? QUICK_TEST_IMAGES : TEST_IMAGES, randomStream(seed, STREAMS.split));
  const progress = createProgress(messages);
  const records: RunRecord[] = [];
  for (const run of runsFor(devices, batch, device)) {
    progress.start(labelOf(run), steps);
    const record = await train(run, dataset, options, (step) => progress.step(step));
    progress.finish(`test accuracy ${formatShare(record.checkpoints.at(-1)?.accuracy ?? NaN)}`);
    records.push(record);
  }
  const rows = summarize(records);
  const details = {
    options,
    network: digitNet(randomStream(seed, STREAMS.weights)).toString(),
    trainImages: dataset.train.labels.length,
    testImages: dataset.test.labels.length,
    seconds: (performance.now() - start) / 1000,
    machine: describeMachine(device),
    wrongDigits: wrongDigits(dataset.test, logitsOf(records, 'one device'), logitsOf(records, 'plain')),
  };
  await writeFile(report, reportPage(rows, details));
  if (options.picture !== null) await writeFile(resolve(options.picture), picture(rows, steps));
  output.write(`\n${formatTable(rows)}\n${LEGEND}\n\n${conclusionOf(rows)}.\nReport: ${report}\n`);
  return 0;
}

function logitsOf(records: readonly RunRecord[], name: string): Float32Array {
  return records.find(({ run }) => run.name === name)?.logits ?? new Float32Array(0);
}

async function checkWritable(file: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await (await open(file, 'a')).close();
}
