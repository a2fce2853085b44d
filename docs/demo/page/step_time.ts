/** What a step takes, and how much of it is synchronization. */

import type { PerWay } from '../protocol.ts';
import { element, panel } from './element.ts';
import { median, milliseconds, percent } from './format.ts';

/** Steps that a figure is the median of. */
const RECENT = 20;

export class StepTime {
  readonly element: HTMLElement;
  readonly #bar = element('div', { class: 'bar_box' });
  readonly #text = element('p', { class: 'now' });
  #recent: PerWay<number>[] = [];

  constructor() {
    const note = `A plain step on the same batch does all of it but the synchronization: by so much is it shorter. Median of the last ${RECENT} steps.`;
    this.element = panel(
      'step_time',
      'What a step takes',
      element('p', { class: 'note' }, note),
      element('p', { class: 'note' }, keyOf('compute', 'compute'), keyOf('cost', 'synchronize')),
      this.#bar,
      this.#text,
    );
  }

  clear(): void {
    this.#recent = [];
    this.#bar.replaceChildren();
    this.#text.textContent = 'Nothing yet.';
  }

  add(times: PerWay<number>): void {
    this.#recent = [...this.#recent, times].slice(-RECENT);
    const of = (value: (each: PerWay<number>) => number | null): number =>
      median(this.#recent.map(value).filter((time) => time !== null));
    const whole = of((each) => each.synchronized);
    const step = `A synchronized step takes ${milliseconds(whole)}`;
    // Step by step: what else the machine does meanwhile slows down both.
    const longer = of(({ plain, synchronized }) => (plain === null ? null : (synchronized ?? NaN) - plain));
    if (Number.isNaN(longer)) {
      this.#draw(whole, 0);
      this.#text.textContent = `${step}. Plain batch norm cannot train with these settings, so there is nothing to compare it with.`;
      return;
    }
    const cost = Math.min(whole, Math.max(0, longer));
    this.#draw(whole - cost, cost);
    this.#text.textContent =
      cost > 0
        ? `${step}: ${milliseconds(whole - cost)} compute, ${milliseconds(cost)} (${percent(cost / whole)}) synchronize.`
        : `${step}, no longer than a plain one: the synchronization is lost in what else the machine does.`;
  }

  #draw(compute: number, cost: number): void {
    const share = (value: number): string => `width: ${((100 * value) / (compute + cost)).toFixed(1)}%`;
    this.#bar.replaceChildren(
      element('i', { class: 'compute', style: share(compute) }),
      element('i', { class: 'cost', style: share(cost) }),
    );
  }
}

function keyOf(kind: 'compute' | 'cost', name: string): HTMLElement {
  return element('span', { class: 'swatch' }, element('i', { class: kind }), name);
}
