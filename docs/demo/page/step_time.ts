/** What a step takes, and how much of it is synchronization. */

import type { PerWay } from '../protocol.ts';
import { element, panel } from './element.ts';
import { median, milliseconds, percent } from './format.ts';

/** Steps that a figure is the median of. */
const RECENT = 20;

export class StepTime {
  readonly element: HTMLElement;
  readonly #bars = element('div', { class: 'bars' });
  readonly #text = element('p', { class: 'now' });
  #recent: PerWay<number>[] = [];

  constructor() {
    const note = `Median of the last ${RECENT} steps. Plain and synchronized steps differ in nothing but the synchronization, so what one takes longer is its cost.`;
    this.element = panel(
      'step_time',
      'What a step takes',
      element('p', { class: 'note' }, note),
      this.#bars,
      this.#text,
    );
  }

  clear(): void {
    this.#recent = [];
    this.#bars.replaceChildren();
    this.#text.textContent = 'Nothing yet.';
  }

  add(times: PerWay<number>): void {
    // The first step of each way includes what is loaded and compiled once.
    this.#recent = [...this.#recent, times].slice(-RECENT);
    const of = (way: keyof PerWay<number>): number =>
      median(this.#recent.map((each) => each[way]).filter((value) => value !== null));
    const [plain, synchronized] = [of('plain'), of('synchronized')];
    if (Number.isNaN(plain)) {
      this.#bars.replaceChildren(bar('synchronized', [['compute', synchronized]], synchronized));
      this.#text.textContent = `A synchronized step takes ${milliseconds(synchronized)}. Plain batch norm cannot train with these settings, so there is nothing to compare it with.`;
      return;
    }
    const [compute, cost] = [Math.min(plain, synchronized), Math.max(0, synchronized - plain)];
    const longest = Math.max(plain, synchronized);
    this.#bars.replaceChildren(
      bar('plain', [['compute', plain]], longest),
      bar(
        'synchronized',
        [
          ['compute', compute],
          ['cost', cost],
        ],
        longest,
      ),
    );
    this.#text.textContent =
      cost > 0
        ? `A synchronized step takes ${milliseconds(synchronized)}: ${milliseconds(compute)} compute, ${milliseconds(cost)} (${percent(cost / synchronized)}) synchronize.`
        : `A synchronized step takes ${milliseconds(synchronized)}, no longer than a plain one: the synchronization is lost in what else the machine does.`;
  }
}

type Part = readonly [kind: 'compute' | 'cost', value: number];

function bar(name: string, parts: readonly Part[], longest: number): HTMLElement {
  const pieces = parts.map(([kind, value]) => {
    return element('i', { class: kind, style: `width: ${((100 * value) / longest).toFixed(1)}%` });
  });
  return element(
    'div',
    { class: 'bar_row' },
    element('span', {}, name),
    element('div', { class: 'bar_box' }, ...pieces),
  );
}
