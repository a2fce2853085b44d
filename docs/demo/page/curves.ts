/** Loss and score of the three networks, step by step. */

import uPlot from 'uplot';
import { type PerWay, WAYS } from '../protocol.ts';
import { element, panel, svgElement } from './element.ts';
import { listOf, number, percent, WAY_NAMES } from './format.ts';

const HEIGHT = 240;
/** Distances of labels below a chart: steps are whole numbers. */
const STEP_TICKS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];
/** Steps that a point of the loss is the mean of, so that single batches do not hide the course. */
const SMOOTHED = 10;

/** A chart with one line for each network. */
class Chart {
  readonly figure: HTMLElement;
  readonly #box = element('div', { class: 'chart', role: 'img' });
  readonly #now = element('p', { class: 'now' });
  readonly #title: string;
  readonly #format: (value: number) => string;
  readonly #highest: number | null;
  #steps: number[] = [];
  #lines: (number | null)[][] = WAYS.map(() => []);
  #plot: uPlot | null = null;

  /** @param highest - end of the axis; `null`: as the values are. */
  constructor(title: string, note: string, format: (value: number) => string, highest: number | null) {
    this.#title = title;
    this.#format = format;
    this.#highest = highest;
    const caption = element('figcaption', {}, element('h3', {}, title), element('p', { class: 'note' }, note));
    this.figure = element('figure', {}, caption, this.#box, this.#now);
    this.clear();
  }

  clear(): void {
    this.#steps = [];
    this.#lines = WAYS.map(() => []);
    this.#now.textContent = 'Nothing yet.';
    this.#box.setAttribute('aria-label', `${this.#title}: nothing yet`);
    this.#draw();
  }

  add(step: number, values: PerWay<number>): void {
    this.#steps.push(step);
    WAYS.forEach((way, i) => this.#lines[i]?.push(values[way]));
    const text = listOf(values, this.#format);
    this.#now.textContent = `Step ${step}: ${text}`;
    this.#box.setAttribute('aria-label', `${this.#title}, by step; at step ${step} ${text}`);
    this.#draw();
  }

  /** Anew, with the colours that the page has now, and in its width. */
  restyle(): void {
    this.#plot?.destroy();
    this.#plot = null;
    this.#draw();
  }

  #draw(): void {
    if (!this.#box.isConnected) return;
    const data: uPlot.AlignedData = [this.#steps, ...this.#lines];
    if (this.#plot === null) this.#plot = new uPlot(this.#options(), data, this.#box);
    else this.#plot.setData(data);
  }

  #options(): uPlot.Options {
    const style = getComputedStyle(this.#box);
    const colour = (name: string): string => style.getPropertyValue(name).trim();
    const axis = { stroke: colour('--demo-faint'), font: `12px ${style.fontFamily}`, ticks: { show: false } };
    const grid = { stroke: colour('--demo-rule'), width: 1 };
    const points = { show: false };
    return {
      width: this.#box.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { time: false, range: (_plot, low, high) => [0, Math.max(20, high || 0, low || 0)] },
        y: { range: (_plot, _low, high) => [0, this.#highest ?? Math.max(0.5, high || 0)] },
      },
      axes: [
        { ...axis, grid: { show: false }, size: 28, incrs: STEP_TICKS },
        {
          ...axis,
          grid,
          size: 48,
          values: (_plot, splits) =>
            splits.map((value) => (this.#highest === null ? String(Number(value.toFixed(1))) : this.#format(value))),
        },
      ],
      series: [
        {},
        // The broad line is the one device; what lies on it is equal to it.
        { stroke: colour('--demo-one'), width: 7, points },
        { stroke: colour('--demo-plain'), width: 2.5, points },
        { stroke: colour('--demo-synchronized'), width: 2.5, dash: [9, 5], points },
      ],
    };
  }
}

/** Both charts, with what their lines are. */
export class Curves {
  readonly element: HTMLElement;
  readonly #loss: Chart;
  readonly #score: Chart;
  readonly #recent: PerWay<number>[] = [];

  constructor() {
    const smoothed = `Of the training batches, mean of ${SMOOTHED} steps.`;
    this.#loss = new Chart('Loss', smoothed, number, null);
    this.#score = new Chart('Told right', 'Of new images; of shapes, the overlap with the true masks.', percent, 1);
    const legend = element(
      'ul',
      { class: 'legend' },
      ...WAYS.map((way) => element('li', {}, key(way), WAY_NAMES[way])),
    );
    this.element = panel(
      'curves',
      'How they learn',
      legend,
      element('div', { class: 'pair' }, this.#loss.figure, this.#score.figure),
    );
  }

  clear(): void {
    this.#recent.length = 0;
    this.#loss.clear();
    this.#score.clear();
  }

  addLoss(step: number, losses: PerWay<number>): void {
    this.#recent.push(losses);
    if (this.#recent.length > SMOOTHED) this.#recent.shift();
    const mean = (way: keyof PerWay<number>): number | null => {
      const values = this.#recent.map((each) => each[way]).filter((value) => value !== null);
      return values.length === 0 ? null : values.reduce((a, b) => a + b, 0) / values.length;
    };
    this.#loss.add(step, { one: mean('one'), plain: mean('plain'), synchronized: mean('synchronized') });
  }

  addScore(step: number, scores: PerWay<number>): void {
    this.#score.add(step, scores);
  }

  restyle(): void {
    this.#loss.restyle();
    this.#score.restyle();
  }
}

/** A piece of a network's line. */
function key(way: string): SVGElement {
  const line = svgElement('line', { class: `line ${way}`, x1: 2, x2: 30, y1: 6, y2: 6 });
  return svgElement('svg', { class: 'key', viewBox: '0 0 32 12', width: 32, height: 12, 'aria-hidden': 'true' }, line);
}
