/** The HTML report: one file without scripts that needs nothing from the network. */

import { figure, htmlDocument, runTable } from '../../report/document.ts';
import { escapeHtml } from '../../report/escape.ts';
import type { Options } from '../options.ts';
import { cellsOf, COLUMNS, conclusionOf, LEGEND, type SummaryRow } from '../summary.ts';
import type { Machine } from '../machine.ts';
import type { WrongDigit } from '../wrong_digits.ts';
import { accuracyChart, distanceChart, distanceNote, lossChart, smoothingNote } from './charts.ts';
import { digitImage } from './digit_image.ts';

/** What the report tells besides the runs. */
export interface ReportDetails {
  readonly options: Options;
  /** What the model prints. */
  readonly network: string;
  readonly trainImages: number;
  readonly testImages: number;
  readonly seconds: number;
  readonly machine: Machine;
  /** Test images that plain batch norm tells wrong and one device right; the first of them are shown. */
  readonly wrongDigits: readonly WrongDigit[];
}

/** As many as fill a few rows. */
const MOST_DIGITS = 24;

/** The whole page. */
export function reportPage(rows: readonly SummaryRow[], details: ReportDetails): string {
  const { options } = details;
  return htmlDocument({
    title: 'Synchronized batch norm on handwritten digits',
    body: `<h1>${escapeHtml(conclusionOf(rows))}</h1>
<p>The same network was trained from the same weights on the same batches of ${options.batch} images: on one device, split over
${options.devices} devices with plain batch norm, whose statistics then come from ${options.batch / options.devices} images each, and with
synchronized batch norm, whose statistics come from the whole batch wherever its images are. With one image per device, plain
batch norm could not train at all: its last layer would have a single value per channel.</p>
${runTable(COLUMNS, rows.map(cellsOf))}
<p class="faint">${escapeHtml(LEGEND)}</p>
<p class="faint">${escapeHtml(speedNote(options))}</p>
<div class="charts">
${figure('Training loss', `${smoothingNote(options.steps)} The broad line is the one-device run; lines that lie on it are equal to it.`, lossChart(rows, options.steps))}
${figure('Test accuracy', 'With running statistics.', accuracyChart(rows, options.steps))}
${figure('Distance from one-device training', escapeHtml(distanceNote(rows)), distanceChart(rows, options.steps))}
${settings(details)}
</div>
${wrongDigits(details.wrongDigits)}
${figure('Network', '', `<pre tabindex="0" role="region" aria-label="Network">${escapeHtml(details.network)}</pre>`)}`,
  });
}

/** Why the last column is what it is. */
function speedNote({ device, devices, batch }: Options): string {
  const split = `Splitting ${batch} images over ${devices} devices takes ${devices} calls of every layer where one device takes one`;
  return device === 'cpu'
    ? `All devices are in one thread here, where they take turns: nothing is computed at the same time, and synchronizing looks slow. ${split}. In workers (--device worker) they compute at once.`
    : `${split}, of a network so small that the calls take longer than the arithmetic. Larger images and networks gain by it.`;
}

function wrongDigits(digits: readonly WrongDigit[]): string {
  if (digits.length === 0) return '';
  const shown = digits.slice(0, MOST_DIGITS);
  const images = shown.map(({ image, label, guess }) => {
    return `<li>${digitImage(image, `a ${label}`)}<span>${label}, taken for ${guess}</span></li>`;
  });
  const note = `${digits.length} test images in all; ${shown.length === digits.length ? 'all of them' : `the first ${shown.length}`}.`;
  return figure(
    'Told wrong by plain batch norm, right by one device',
    note,
    `<ul class="digits">${images.join('')}</ul>`,
  );
}

function settings({ options, trainImages, testImages, seconds, machine }: ReportDetails): string {
  const command = [
    'npm start --',
    `--devices ${options.devices}`,
    `--batch ${options.batch}`,
    `--steps ${options.steps}`,
    `--seed ${options.seed}`,
    ...(options.device === 'cpu' ? [] : [`--device ${options.device}`]),
    ...(options.quick ? ['--quick'] : []),
  ];
  const entries = [
    ['images', `${trainImages} to train, ${testImages} to test (package mnist)`],
    ['steps', String(options.steps)],
    ['seed', String(options.seed)],
    ['time', `${seconds.toFixed(0)} s for all runs`],
    ['device', `${options.device}: ${machine.adapter}`],
    ['machine', machine.description],
    ['version', `syncbn ${machine.version}`],
    ['date', machine.date],
  ] as const;
  // A browser may break a line after any hyphen, but an option is one word.
  const again = command.map((part) => `<span>${escapeHtml(part)}</span>`).join(' ');
  const list = [...entries.map(([term, text]) => [term, escapeHtml(text)] as const), ['again', again] as const]
    .map(([term, html]) => `<dt>${term}</dt><dd>${html}</dd>`)
    .join('');
  return figure('Settings', '', `<dl>${list}</dl>`);
}
