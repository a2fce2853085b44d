/** The page: starts a rank in a worker, and shows who trains, how fast, and how the loss goes down. */

import { lineChart } from '../../report/line_chart.ts';
import { linearScale } from '../../report/scale.ts';
import { type RankPlace, shareOf, type StepNews } from '../run_rank.ts';
import type { WorkerNews } from './rank.ts';

/** How many steps the speed is taken from. */
const RECENT = 20;
/** The loss is drawn as the mean over so many steps, as the page says. */
const SMOOTHING = 10;

const element = (id: string): HTMLElement => {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found;
};

let place: RankPlace | null = null;
const steps: StepNews[] = [];
let isDrawing = false;

const worker = new Worker('rank.js', { type: 'module' });
worker.addEventListener('message', ({ data }: MessageEvent<WorkerNews>) => hear(data));
worker.addEventListener('error', ({ message }) => hear({ error: message }));

function hear(news: WorkerNews): void {
  if ('place' in news) {
    ({ place } = news);
    setStatus(
      place === null
        ? 'All ranks are taken: start the command again with more pages.'
        : `This page is rank ${place.rank} of ${place.worldSize} and waits for the others …`,
      place === null ? 'failed' : 'waiting',
    );
  } else if ('platforms' in news) {
    showRanks(news.platforms);
    setStatus(`This page trains as rank ${place?.rank}.`, 'training');
  } else if ('step' in news) {
    steps.push(news);
    // Steps may come faster than a screen shows them.
    if (!isDrawing) {
      isDrawing = true;
      requestAnimationFrame(draw);
    }
  } else if ('weights' in news) {
    setStatus('Done: all ranks have the same weights, bit for bit.', 'done');
    draw();
  } else {
    setStatus(news.error, 'failed');
  }
}

function setStatus(text: string, state: 'waiting' | 'training' | 'done' | 'failed'): void {
  const status = element('status');
  status.textContent = text;
  status.dataset['state'] = state;
}

function showRanks(platforms: readonly string[]): void {
  element('ranks').replaceChildren(
    ...platforms.map((platform, rank) => {
      const row = document.createElement('tr');
      const isOwn = rank === place?.rank;
      const share = place === null ? '' : `${shareOf(place, rank)} of ${place.batch}`;
      for (const text of [String(rank), isOwn ? `${platform}, this page` : platform, share])
        row.insertCell().textContent = text;
      row.classList.toggle('own', isOwn);
      return row;
    }),
  );
}

function draw(): void {
  isDrawing = false;
  const last = steps.at(-1);
  if (last === undefined || place === null) return;
  // The first step waits for the slowest rank to load the library.
  const recent = steps.slice(1).slice(-RECENT);
  const milliseconds = recent.reduce((sum, step) => sum + step.milliseconds, 0) / recent.length;
  element('step').textContent = `${last.step} / ${place.steps}`;
  element('loss').textContent = last.loss.toFixed(4);
  if (recent.length > 0) {
    element('speed').textContent = ((1000 * place.batch) / milliseconds).toFixed(0);
    element('time').textContent = `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;
  }
  const points = steps.map(({ step }, i) => {
    const window = steps.slice(Math.max(0, i + 1 - SMOOTHING), i + 1);
    return { x: step, y: window.reduce((sum, { loss }) => sum + loss, 0) / window.length };
  });
  element('curve').innerHTML = lineChart({
    title: 'Loss of the whole batch, step by step',
    xLabel: 'step',
    xScale: linearScale(0, place.steps),
    yScale: linearScale(0, Math.max(...points.map(({ y }) => y))),
    series: [{ label: 'loss', style: 1, points, isMarked: false }],
    formatValue: String,
  });
}
