import { html, parse, type ParserError } from 'parse5';
import { describe, expect, it } from 'vitest';
import { parseOptions } from '../options.ts';
import { runsFor } from '../runs.ts';
import { summarize } from '../summary.ts';
import type { RunRecord } from '../train.ts';
import { type ReportDetails, reportPage } from './page.ts';

const STEPS = 20;

describe('the report', () => {
  it('is_html_without_an_error', () => {
    const errors: ParserError[] = [];
    const document = parse(page(), { onParseError: (error) => errors.push(error) });
    expect(errors).toEqual([]);
    expect(document.mode).toBe(html.DOCUMENT_MODE.NO_QUIRKS);
  });

  it('needs_nothing_from_elsewhere', () => {
    expect(page()).not.toMatch(/\b(?:src|href|url|import)\b\s*[=(]|https?:|<script|@import/);
  });

  it('has_a_line_per_run_in_every_chart_but_for_the_distance_of_the_first_run_from_itself', () => {
    const charts = page().match(/<svg viewBox="0 0 640[^]*?<\/svg>/g) ?? [];
    expect(charts.map((chart) => chart.match(/<polyline/g)?.length)).toEqual([4, 4, 3]);
  });

  it('draws_every_point_inside_its_chart', () => {
    const coordinates = [...page().matchAll(/points="([^"]+)"/g)].flatMap(([, points = '']) => points.split(' '));
    expect(coordinates.length).toBeGreaterThan(4 * STEPS);
    for (const coordinate of coordinates) {
      const [x = NaN, y = NaN] = coordinate.split(',').map(Number);
      expect(x >= 0 && x <= 640 && y >= 0 && y <= 300, coordinate).toBe(true);
    }
  });

  it('says_which_runs_differ_in_no_bit', () => {
    const records = runsFor(8, 16).map(madeUpRecord);
    const [first] = records;
    const same = records.map((record) => ({ ...record, checkpoints: first?.checkpoints ?? [] }));
    expect(page({}, same)).toContain('zero to the last bit at every checkpoint: plain, 8 × 2; synchronized, 8 × 2;');
    expect(page()).not.toContain('zero to the last bit');
  });

  it('says_its_conclusion_in_the_headline', () => {
    const records = runsFor(8, 16).map(madeUpRecord);
    expect(page({}, records)).toMatch(
      /<h1>Trained on 8 devices with plain batch norm, a network tells 95.24 % .* where one device reaches 95.24 %<\/h1>/,
    );
    const [first] = records;
    const same = records.map((record) => ({
      ...record,
      checkpoints: first?.checkpoints ?? [],
      logits: Float32Array.of(0),
    }));
    expect(page({}, same)).toMatch(/<h1>.*to the last bit: 95.24 %<\/h1>/);
  });

  it('tells_machine_version_and_date', () => {
    const text = page();
    for (const part of ['cpu: calling thread', 'Processor', 'syncbn 1.2.3', '2026-11-29']) expect(text).toContain(part);
  });

  it('shows_at_most_24_digits_and_tells_how_many_there_are', () => {
    const text = page();
    expect(text.match(/7, taken for 1/g)).toHaveLength(24);
    expect(text).toContain('30 test images in all; the first 24.');
    expect(page({ wrongDigits: [] })).not.toContain('taken for');
  });

  it.each([
    ['cpu', 'All devices are in one thread here'],
    ['worker', 'the calls take longer than the arithmetic'],
  ])('explains_the_speed_on_%s_devices', (device, text) => {
    expect(page({ options: parseOptions(['--device', device, '--steps', String(STEPS)]) })).toContain(text);
  });

  it('shows_text_as_text', () => {
    const text = page({ network: 'Net<"a" & b>' });
    expect(text).toContain('Net&lt;&quot;a&quot; &amp; b&gt;');
  });

  it('tells_how_to_repeat_the_runs', () => {
    const text = page().replaceAll(/<[^>]*>/g, '');
    expect(text).toContain('npm start -- --devices 8 --batch 16 --steps 20 --seed 1 --quick');
  });

  it.each([
    [20, 'Of each step.'],
    [40, 'Mean over 2 steps.'],
  ])('tells_how_the_loss_of_%i_steps_is_averaged', (steps, note) => {
    expect(page({ options: parseOptions(['--steps', String(steps)]) })).toContain(note);
  });
});

function page(details: Partial<ReportDetails> = {}, records = runsFor(8, 16).map(madeUpRecord)): string {
  const options = parseOptions(['--steps', String(STEPS), '--quick']);
  return reportPage(summarize(records), {
    options,
    network: 'Net',
    trainImages: 9000,
    testImages: 1000,
    seconds: 9.4,
    machine: { adapter: 'calling thread', description: 'Processor', version: '1.2.3', date: '2026-11-29' },
    wrongDigits: Array.from({ length: 30 }, () => ({
      image: Float32Array.from({ length: 784 }, (_, i) => i % 5),
      label: 7,
      guess: 1,
    })),
    ...details,
  });
}

/** A run whose figures follow formulas, each run's a little different from the others'. */
function madeUpRecord(run: RunRecord['run'], position: number): RunRecord {
  const losses = Array.from({ length: STEPS }, (_, i) => Math.exp(-i / 10) + position / 100);
  return {
    run,
    losses,
    checkpoints: [1, STEPS / 2, STEPS].map((step) => ({
      step,
      accuracy: 1 - 1 / (step + 1),
      weights: Float32Array.of(1, step * position * 1e-6),
    })),
    logits: Float32Array.of(position),
    samplesPerSecond: 500,
  };
}
