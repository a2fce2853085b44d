import { expect, it } from 'vitest';
import { runsFor } from '../runs.ts';
import { summarize } from '../summary.ts';
import { picture } from './picture.ts';

it('is_one_file_with_a_line_and_a_name_for_each_run', () => {
  const records = runsFor(8, 16).map((run) => ({
    run,
    losses: [1],
    checkpoints: [1, 2].map((step) => ({ step, accuracy: 0.5, weights: Float32Array.of(run.devices) })),
    logits: Float32Array.of(1),
    samplesPerSecond: 1,
  }));
  const svg = picture(summarize(records), 2);
  expect(svg.match(/<polyline/g)).toHaveLength(4);
  for (const name of ['one device, 1 × 16', 'plain, 8 × 2', 'synchronized, 8 × 2', 'synchronized, 16 × 1']) {
    expect(svg).toContain(`>${name}</text>`);
  }
  expect(svg).not.toMatch(/href|url\(|<script/);
});
