/** What each device takes for mean and variance of a channel, against those of the whole batch. */

import type { Belief, Beliefs, ChannelChoice, LayerHere, PerWay } from '../protocol.ts';
import { element, panel, svgElement } from './element.ts';
import { number } from './format.ts';

/** Of a drawing, in its own units. */
const WIDTH = 320;
const ROW = 16;
const MARGIN = { left: 76, right: 12, top: 6, bottom: 6 } as const;
const SHOWN = ['plain', 'synchronized'] as const;

export class BeliefsPanel {
  readonly element: HTMLElement;
  readonly #layer = element('select', { id: 'layer' });
  readonly #channel = element('select', { id: 'channel' });
  readonly #drawings = element('div', { class: 'pair' });
  readonly #table = element('div');
  #layers: readonly LayerHere[] = [];

  /** @param onChoice - is told when another channel is to be looked at. */
  constructor(onChoice: (choice: ChannelChoice) => void) {
    const tell = (): void => onChoice(this.choice);
    this.#layer.addEventListener('change', () => {
      this.#offerChannels(0);
      tell();
    });
    this.#channel.addEventListener('change', tell);
    this.element = panel(
      'beliefs',
      'What each device believes',
      element(
        'p',
        { class: 'note' },
        'Dot and bar: the mean of a channel, and one standard deviation to either side, as each device has normalized with. Band: those of the whole batch.',
      ),
      element(
        'div',
        { class: 'choices' },
        element('label', { for: 'layer' }, 'Layer ', this.#layer),
        element('label', { for: 'channel' }, 'Channel ', this.#channel),
      ),
      this.#drawings,
      element('details', {}, element('summary', {}, 'The numbers'), this.#table),
    );
  }

  get choice(): ChannelChoice {
    return { layer: Number(this.#layer.value), channel: Number(this.#channel.value) };
  }

  /** The batch norms of a new network; the last one is chosen unless there was another choice before. */
  offer(layers: readonly LayerHere[], { layer, channel }: ChannelChoice): void {
    this.#layers = layers;
    this.#layer.replaceChildren(...layers.map(({ label }, i) => element('option', { value: i }, label)));
    this.#layer.value = String(layer);
    this.#offerChannels(channel);
  }

  clear(): void {
    this.#drawings.replaceChildren(element('p', { class: 'now' }, 'Nothing yet.'));
    this.#table.replaceChildren();
  }

  show(beliefs: PerWay<Beliefs>): void {
    const figures = SHOWN.flatMap((way) => {
      const shown = beliefs[way];
      if (shown === null) return [];
      const caption = element('figcaption', {}, element('h3', {}, way === 'plain' ? 'Plain' : 'Synchronized'));
      return [element('figure', {}, caption, drawing(way, shown), element('p', { class: 'now' }, farthest(shown)))];
    });
    this.#drawings.replaceChildren(...figures);
    this.#table.replaceChildren(table(beliefs));
  }

  #offerChannels(chosen: number): void {
    const { channels = 1 } = this.#layers[Number(this.#layer.value)] ?? {};
    const options = Array.from({ length: channels }, (_, i) => element('option', { value: i }, String(i)));
    this.#channel.replaceChildren(...options);
    this.#channel.value = String(chosen);
  }
}

/** How far the devices are from the batch, in words. */
export function farthest({ mean, variance, devices }: Beliefs): string {
  const deviation = Math.sqrt(variance);
  const distances = devices.map((belief) => Math.abs(belief.mean - mean) / deviation);
  const ratios = devices.map((belief) => Math.sqrt(Math.max(0, belief.variance)) / deviation);
  if (distances.length === 0) return 'The outputs of this channel do not tell.';
  const largest = Math.max(...distances);
  // What is read off outputs in f32 has about four good digits.
  if (largest < 1e-3 && ratios.every((ratio) => Math.abs(ratio - 1) < 1e-3))
    return 'All devices: the mean and the deviation of the batch.';
  const [low, high] = [Math.min(...ratios), Math.max(...ratios)];
  return `Means are up to ${number(largest)} standard deviations off; deviations are ${number(low)} to ${number(high)} times that of the batch.`;
}

function drawing(way: string, { mean, variance, devices }: Beliefs): SVGElement {
  const deviation = Math.sqrt(variance);
  const ends = (belief: Pick<Belief, 'mean' | 'variance'>): [number, number] => {
    const half = Math.sqrt(Math.max(0, belief.variance));
    return [belief.mean - half, belief.mean + half];
  };
  const values = [mean - 2 * deviation, mean + 2 * deviation, ...devices.flatMap(ends)];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (value: number): number =>
    MARGIN.left + ((value - low) / (high - low || 1)) * (WIDTH - MARGIN.left - MARGIN.right);
  const height = MARGIN.top + MARGIN.bottom + ROW * devices.length;
  const [left, right] = [x(mean - deviation), x(mean + deviation)];
  const band = svgElement('rect', { class: 'band', x: left, y: 0, width: right - left, height });
  const middle = svgElement('line', { class: 'middle', x1: x(mean), x2: x(mean), y1: 0, y2: height });
  const rows = devices.flatMap((belief, i) => {
    const y = MARGIN.top + ROW * (i + 0.5);
    const [from, to] = ends(belief);
    return [
      svgElement(
        'text',
        { x: MARGIN.left - 8, y, 'text-anchor': 'end', 'dominant-baseline': 'central' },
        belief.device,
      ),
      svgElement('line', { class: `bar ${way}`, x1: x(from), x2: x(to), y1: y, y2: y }),
      svgElement('circle', { class: `dot ${way}`, cx: x(belief.mean), cy: y, r: 4 }),
    ];
  });
  const label = `${way}: mean and deviation of each device against those of the batch; the numbers follow`;
  return svgElement(
    'svg',
    { viewBox: `0 0 ${WIDTH} ${height}`, role: 'img', 'aria-label': label },
    band,
    middle,
    ...rows,
  );
}

function table(beliefs: PerWay<Beliefs>): HTMLElement {
  const ways = SHOWN.flatMap((way) => (beliefs[way] === null ? [] : [[way, beliefs[way]] as const]));
  const head = ways.flatMap(([way]) => [`${way}: mean`, `${way}: variance`]);
  const names = new Set(ways.flatMap(([, { devices }]) => devices.map(({ device }) => device)));
  const row = (name: string, of: (each: Beliefs) => Pick<Belief, 'mean' | 'variance'> | undefined): HTMLElement => {
    const cells = ways.flatMap(([, each]) => {
      const found = of(each);
      return found === undefined ? ['–', '–'] : [number(found.mean), number(found.variance)];
    });
    return element('tr', {}, element('th', { scope: 'row' }, name), ...cells.map((cell) => element('td', {}, cell)));
  };
  return element(
    'table',
    {},
    element(
      'thead',
      {},
      element(
        'tr',
        {},
        element('th', { scope: 'col' }, 'device'),
        ...head.map((name) => element('th', { scope: 'col' }, name)),
      ),
    ),
    element(
      'tbody',
      {},
      row('whole batch', (each) => each),
      ...[...names].map((name) => row(name, ({ devices }) => devices.find(({ device }) => device === name))),
    ),
  );
}
