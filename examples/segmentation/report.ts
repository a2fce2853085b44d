/** The HTML report: curves, a table, and the masks that each run gives. One file without scripts that needs nothing from the network. */

import { Buffer } from 'node:buffer';
import { encode } from 'fast-png';
import { figure, htmlDocument, runTable } from '../report/document.ts';
import { escapeHtml } from '../report/escape.ts';
import { lineChart, type Series } from '../report/line_chart.ts';
import { movingMean } from '../report/moving_mean.ts';
import { linearScale } from '../report/scale.ts';
import { CLASS_COLOURS } from './class_colours.ts';
import type { ExperimentOptions, RunRecord } from './experiment.ts';
import { CLASS_NAMES, type Shapes, SIZE } from './shapes.ts';

/** Steps that the loss is averaged over. */
const SMOOTHED = 20;
/** Test images that are shown. */
const SHOWN = 6;
const PIXELS = SIZE * SIZE;

const PICTURE_STYLE = `
.pictures { display: grid; grid-template-columns: minmax(6rem, 13rem) repeat(${SHOWN}, minmax(0, 7rem)); gap: .4rem; align-items: center; }
.pictures img { width: 100%; height: auto; image-rendering: pixelated; display: block; border-radius: .25rem; }
.pictures span { font-size: .875rem; color: var(--faint); }
.swatch { display: inline-block; width: .8em; height: .8em; border-radius: .2em; margin: 0 .35em 0 .9em; vertical-align: -.05em; }
`;

/** The whole page. */
export function reportPage(
  { runs, test }: { readonly runs: readonly RunRecord[]; readonly test: Shapes },
  options: ExperimentOptions,
): string {
  return htmlDocument({
    title: 'syncbn: segmentation with one sample per device',
    style: PICTURE_STYLE,
    body: `<h1>${escapeHtml(headline(runs))}</h1>
<p>A small U-Net learns what each pixel of a synthetic picture from above shows: water, forest, sand or snow. It was trained three times, from the
same weights on the same batches: on one device, and with one picture on each of sixteen devices. What a pixel shows is told by how bright it is,
compared with other pictures. Plain batch norm makes the mean of every picture 0, so that a forest in water looks like snow on sand; and in use
it takes running statistics of many pictures, which give other values than those it has learned from. Synchronized batch norm
takes the statistics of the whole batch, as one device does.</p>
${table(runs)}
<p class="faint">Intersection over union on ${test.masks.length / PIXELS} test images: the pixels that prediction and truth have in common, of those that either has.</p>
<div class="charts">
${figure('Training loss', `Mean of the last ${SMOOTHED} steps.`, lossChart(runs, options.steps))}
${figure('Test images', 'Mean intersection over union, with running statistics.', overlapChart(runs, options.steps))}
</div>
${figure('Masks', legend(), `<div class="pictures">${pictures(runs, test)}</div>`)}
<p class="faint">${options.steps} steps of 16 images, seed ${options.seed}, ${options.trainImages} training images. The devices are CPU devices of one thread: they
take turns, so that a split run is no faster than one device here.</p>`,
  });
}

function headline(runs: readonly RunRecord[]): string {
  const [one = '', plain = '', synchronized = ''] = runs.map(({ checkpoints }) => percent(checkpoints.at(-1)?.overlap));
  return `With one picture per device, plain batch norm reaches ${plain}, synchronized batch norm ${synchronized}, one device ${one}`;
}

function table(runs: readonly RunRecord[]): string {
  const columns = ['run', 'mean', ...CLASS_NAMES, 'last loss', 'images per second'];
  const rows = runs.map((run) => [
    run.name,
    percent(run.checkpoints.at(-1)?.overlap),
    ...run.perClass.map(percent),
    smoothed(run.losses).at(-1)?.y.toFixed(3) ?? '',
    run.samplesPerSecond.toFixed(1),
  ]);
  return runTable(columns, rows);
}

function lossChart(runs: readonly RunRecord[], steps: number): string {
  const series = runs.map(({ name, losses }, style): Series => ({
    label: name,
    style,
    points: smoothed(losses),
    isMarked: false,
  }));
  const highest = Math.max(...series.flatMap(({ points }) => points.map(({ y }) => y)));
  const [xScale, yScale] = [linearScale(0, steps), linearScale(0, highest)];
  return lineChart({
    title: 'Training loss',
    xLabel: 'step',
    xScale,
    yScale,
    series,
    formatValue: (value) => value.toFixed(3),
  });
}

function overlapChart(runs: readonly RunRecord[], steps: number): string {
  const series = runs.map(({ name, checkpoints }, style): Series => {
    const points = checkpoints.map(({ step, overlap }) => ({ x: step, y: overlap }));
    return { label: name, style, points, isMarked: true };
  });
  const [xScale, yScale] = [linearScale(0, steps), linearScale(0, 1, percent)];
  return lineChart({ title: 'Test images', xLabel: 'step', xScale, yScale, series, formatValue: percent });
}

function smoothed(losses: readonly number[]): Series['points'] {
  return movingMean(losses, Math.min(SMOOTHED, losses.length));
}

function pictures(runs: readonly RunRecord[], test: Shapes): string {
  const rows: (readonly [name: string, urls: readonly string[]])[] = [
    ['image', shown((i) => picture((pixel) => shade(test.images, i * PIXELS + pixel)))],
    ['truth', shown((i) => maskPicture(test.masks, i))],
    ...runs.map(({ name, masks }) => [name, shown((i) => maskPicture(masks, i))] as const),
  ];
  return rows
    .map(([name, urls]) => {
      const images = urls.map(
        (url, i) =>
          `<img src="${url}" alt="${escapeHtml(`${name}, test image ${i + 1}`)}" width="${SIZE}" height="${SIZE}">`,
      );
      return `<span>${escapeHtml(name)}</span>${images.join('')}`;
    })
    .join('\n');
}

function shown(draw: (image: number) => string): string[] {
  return Array.from({ length: SHOWN }, (_, i) => draw(i));
}

function maskPicture(masks: Uint8Array, image: number): string {
  return picture((pixel) => CLASS_COLOURS[masks[image * PIXELS + pixel] ?? 0] ?? CLASS_COLOURS[0]);
}

function shade(images: Float32Array, pixel: number): readonly number[] {
  return [0, 1, 2].map((channel) => Math.round(255 * Math.min(1, Math.max(0, images[pixel * 3 + channel] ?? 0))));
}

/** A picture as the address of a PNG. */
function picture(colourOf: (pixel: number) => readonly number[]): string {
  const data = Uint8Array.from(Array.from({ length: PIXELS }, (_, pixel) => colourOf(pixel)).flat());
  return `data:image/png;base64,${Buffer.from(encode({ width: SIZE, height: SIZE, channels: 3, data })).toString('base64')}`;
}

function legend(): string {
  const colours = CLASS_COLOURS.map((colour) => `rgb(${colour.join(' ')})`);
  return CLASS_NAMES.map((name, i) => `<i class="swatch" style="background:${colours[i] ?? ''}"></i>${name}`).join('');
}

function percent(share = NaN): string {
  return Number.isNaN(share) ? '–' : `${(100 * share).toFixed(0)} %`;
}
