import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { parse, type ParserError } from 'parse5';
import { devices } from 'syncbn';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { distanceBetween, largestDifference } from './compare.ts';
import { type Dataset, loadDataset } from './dataset.ts';
import { digits } from './digits.ts';
import { parseOptions } from './options.ts';
import { randomStream } from './random.ts';
import { type Run, runsFor } from './runs.ts';
import { type RunRecord, train } from './train.ts';

const BATCH = 8;
const STEPS = 10;

/** What a quick run may take. */
const QUICK_SECONDS = 15;

describe('memory', () => {
  // Before all other tests of this file: what another run has dropped could be freed while these steps are counted.
  it('is_after_each_step_what_it_was_after_the_second', async () => {
    const [, , synchronized] = runsFor(4, BATCH);
    const inUse: number[] = [];
    await train(
      required(synchronized),
      loadDataset(50, randomStream(3, 0)),
      { batch: BATCH, steps: 6, seed: 5 },
      () => {
        inUse.push(devices.describe().reduce((sum, device) => sum + device.memory.bytesInUse, 0));
      },
    );
    expect(inUse).toEqual([inUse[0], ...Array.from({ length: 5 }, () => inUse[1])]);
  });
});

// Generous limits, for they are there to end a run that hangs, not to judge speed on a machine that does other things, too.
describe('training', { timeout: 60_000 }, () => {
  let dataset: Dataset;
  const records = new Map<Run, RunRecord>();
  const [alone, plain, synchronized, onePerDevice] = runsFor(4, BATCH);

  beforeAll(async () => {
    dataset = loadDataset(50, randomStream(3, 0));
    for (const run of [alone, plain, synchronized, onePerDevice]) {
      records.set(required(run), await trainWith(required(run), 3));
    }
  }, 120_000);

  it('with_an_equal_seed_gives_the_same_bits', async () => {
    const again = await trainWith(required(synchronized), 3);
    const first = recordOf(synchronized);
    expect(again.losses).toEqual(first.losses);
    expect(distanceBetween(first, again).weights.every(({ difference }) => difference === 0)).toBe(true);
    expect(largestDifference(first.logits, again.logits)).toBe(0);
  });

  it('with_another_seed_gives_others', async () => {
    const other = await trainWith(required(synchronized), 4);
    expect(other.losses).not.toEqual(recordOf(synchronized).losses);
  });

  it.each([
    ['two samples per device', synchronized],
    ['one sample per device', onePerDevice],
  ])('synchronized, with %s, is one-device training to the bit', (_name, run) => {
    const reference = recordOf(alone);
    const record = recordOf(run);
    // Not nearly: the library merges statistics and gradients in one order wherever the samples are, and the layers of
    // this example sum exactly.
    expect(record.losses).toEqual(reference.losses);
    const { weights, logits } = distanceBetween(reference, record);
    expect(weights.map(({ difference }) => difference)).toEqual(weights.map(() => 0));
    expect(logits).toBe(0);
  });

  it('on_workers_gives_the_bits_of_the_calling_thread', async () => {
    const [, , onWorkers] = runsFor(4, BATCH, 'worker');
    const record = await trainWith(required(onWorkers), 3);
    expect(record.losses).toEqual(recordOf(synchronized).losses);
    expect(largestDifference(recordOf(synchronized).logits, record.logits)).toBe(0);
  });

  it('on_gpus_gives_the_bits_of_one_gpu', async () => {
    const [aloneThere, , synchronizedThere] = runsFor(4, BATCH, 'webgpu');
    const [reference, record] = [
      await trainWith(required(aloneThere), 3),
      await trainWith(required(synchronizedThere), 3),
    ];
    expect(record.losses).toEqual(reference.losses);
    expect(largestDifference(reference.logits, record.logits)).toBe(0);
    // Not those of the CPU, but what rounding makes of them.
    expect(record.losses.at(-1)).toBeCloseTo(required(recordOf(alone).losses.at(-1)), 3);
  });

  it('with_plain_batch_norm_over_devices_does_not', () => {
    const { weights, logits } = distanceBetween(recordOf(alone), recordOf(plain));
    expect(weights.at(0)?.difference).toBeGreaterThan(1e-3);
    expect(weights.at(-1)?.difference).toBeGreaterThan(1e-2);
    expect(logits).toBeGreaterThan(1e-1);
  });

  it('lowers_the_loss', () => {
    const { losses } = recordOf(synchronized);
    expect(losses.at(-1)).toBeLessThan(0.8 * required(losses[0]));
  });

  function trainWith(run: Run, seed: number): Promise<RunRecord> {
    return train(run, dataset, { batch: BATCH, steps: STEPS, seed }, () => undefined);
  }

  function recordOf(run: Run | undefined): RunRecord {
    return required(records.get(required(run)));
  }
});

describe('the program', () => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'digits-'));
  });

  afterAll(() => rm(folder, { recursive: true }));

  it('runs_quickly_and_leaves_a_report', { timeout: 120_000 }, async () => {
    const report = join(folder, 'new', 'report.html');
    const before = process.cpuUsage();
    const { exitCode, output, messages } = await run(['--quick', '--report', report]);
    const used = process.cpuUsage(before);
    expect(exitCode).toBe(0);
    // Time on the processor, which other programs that run meanwhile do not lengthen as they do the time on the clock.
    expect((used.user + used.system) / 1e6).toBeLessThan(QUICK_SECONDS);
    expect(output).toContain('synchronized, 16 × 1');
    expect(output).toContain(`Report: ${report}`);
    expect(messages).toMatch(/plain, 8 × 2 +20\/20 steps · loss \d\.\d{3} · \d+ samples\/s\n/);
    const errors: ParserError[] = [];
    parse(await readFile(report, 'utf8'), { onParseError: (error) => errors.push(error) });
    expect(errors).toEqual([]);
  });

  it('says_at_once_that_there_is_no_gpu', async () => {
    vi.stubGlobal('navigator', { gpu: { requestAdapter: () => Promise.resolve(null) } });
    await devices.close('webgpu:0');
    const { exitCode, output, messages } = await run(['--device', 'webgpu', '--report', join(folder, 'none.html')]);
    vi.unstubAllGlobals();
    expect([exitCode, output]).toEqual([2, '']);
    expect(messages).toMatch(/^error: --device webgpu: device webgpu:0: .*or stay on 'cpu'/);
  });

  it('says_at_once_that_a_report_cannot_be_written', async () => {
    const { exitCode, output, messages } = await run(['--report', folder]);
    expect(exitCode).toBe(2);
    expect(output).toBe('');
    expect(messages).toContain(`--report ${folder}: expected a file that can be written`);
  });
});

/** Runs the program with streams that are no terminal. */
async function run(args: readonly string[]): Promise<{ exitCode: number; output: string; messages: string }> {
  const output = new PassThrough();
  const messages = new PassThrough();
  const texts = Promise.all([text(output), text(messages)]);
  const exitCode = await digits(parseOptions(args), output, messages).finally(() => {
    output.end();
    messages.end();
  });
  const [written, told] = await texts;
  return { exitCode, output: written, messages: told };
}

function required<T>(value: T | undefined): T {
  if (value === undefined) {
    throw new Error('expected a value');
  }
  return value;
}
