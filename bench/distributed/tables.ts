/** What is simulated, as the tables of `docs/distributed.md`. */

import { resnet50Layers } from '../resnet50.ts';
import { type MessageCosts, type Network, timeOfExchanges, timeOfReduction } from './simulate.ts';

/** The page that has the tables, between these lines. */
export const page = 'docs/distributed.md';
const BEGIN = '<!-- simulated: npm run simulate:distributed -- --write -->';
const END = '<!-- end of what is simulated -->';

const RANKS = [2, 4, 8, 16, 32, 64];
/** In milliseconds. */
const ROUND_TRIPS = [0.1, 0.3, 1, 3, 10, 30, 50];
/** In Mbit/s, with the round trips that such links have. */
const LINKS = [
  { megabits: 10, roundTrip: 30, name: '10 Mbit/s, 30 ms' },
  { megabits: 100, roundTrip: 10, name: '100 Mbit/s, 10 ms' },
  { megabits: 1000, roundTrip: 0.3, name: '1 Gbit/s, 0.3 ms' },
  { megabits: 10_000, roundTrip: 0.1, name: '10 Gbit/s, 0.1 ms' },
];
const FAST = 1000;
/** The parameters of ResNet-50 are so many bytes. */
const GRADIENT_BYTES = 102e6;
/** Of a rank's partial, for each channel, where shards end at whole leaves. */
const BYTES_PER_CHANNEL = 16;

/** What each rank gives to all others in a step of ResNet-50: one partial for each of its 53 layers forward, one backward. */
export function exchangesOfResNet50(): number[] {
  const forward = resnet50Layers().map(({ channels }) => BYTES_PER_CHANNEL * channels);
  return [...forward, ...[...forward].reverse()];
}

/** What stands between the lines. */
export function simulated(costs: MessageCosts): string {
  const bytes = exchangesOfResNet50();
  const network = (more: Omit<Network, 'costs'>): Network => ({ ...more, costs });
  const statistics = table(
    ['round trip to the broker', ...RANKS.map((ranks) => `${ranks} ranks`)],
    ROUND_TRIPS.map((roundTrip) => [
      `${roundTrip} ms`,
      ...RANKS.map((ranks) => duration(timeOfExchanges(network({ ranks, roundTrip, megabits: FAST }), bytes))),
    ]),
  );
  const few = RANKS.slice(0, 3);
  const links = table(
    ['link', ...few.map((ranks) => `statistics, ${ranks} ranks`), ...few.map((ranks) => `gradients, ${ranks} ranks`)],
    LINKS.map(({ name, ...link }) => [
      name,
      ...few.map((ranks) => duration(timeOfExchanges(network({ ranks, ...link }), bytes))),
      ...few.map((ranks) => duration(timeOfReduction({ ranks, ...link }, GRADIENT_BYTES))),
    ]),
  );
  const kilobytes = Math.round(bytes.reduce((sum, each) => sum + each, 0) / 1000);
  return [
    `A message of 4 KiB cost ${costsText(costs)}.`,
    `The ${bytes.length} exchanges of the 53 layers, ${kilobytes} kB from each rank, at 1 Gbit/s:`,
    '',
    statistics,
    '',
    `By the speed of the link that each rank and the broker have, and with the all-reduce of ${GRADIENT_BYTES / 1e6} MB of gradients, which runs beside the backward pass:`,
    '',
    links,
  ].join('\n');
}

const microseconds = (milliseconds: number): number => Math.round(1000 * milliseconds);

function costsText({ send, receive, forward }: MessageCosts): string {
  return `its sender ${microseconds(send)} µs of a processor, a receiver ${microseconds(receive)} µs and the broker ${microseconds(forward)} µs for each receiver`;
}

/** As they are told in the page: in whole microseconds. */
export function rounded({ send, receive, forward }: MessageCosts): MessageCosts {
  const round = (milliseconds: number): number => microseconds(milliseconds) / 1000;
  return { send: round(send), receive: round(receive), forward: round(forward) };
}

/** The costs that the page tells. @throws Error when it tells none. */
export function costsIn(text: string): MessageCosts {
  const [send = NaN, receive = NaN, forward = NaN] = [...simulatedIn(text).matchAll(/(\d+) µs/g)].map(
    ([, value]) => Number(value) / 1000,
  );
  if (Number.isNaN(forward)) throw new Error(`${page}: expected what a message costs`);
  return { send, receive, forward };
}

/** What the page has between the lines. */
export function simulatedIn(text: string): string {
  const [, rest = ''] = text.split(`${BEGIN}\n\n`);
  const [found, end] = rest.split(`\n\n${END}`);
  if (found === undefined || end === undefined) throw new Error(`${page}: expected the lines ${BEGIN} and ${END}`);
  return found;
}

export function withSimulated(text: string, costs: MessageCosts): string {
  const start = text.indexOf(BEGIN) + BEGIN.length + 2;
  return text.slice(0, start) + simulated(costs) + text.slice(start + simulatedIn(text).length);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function duration(milliseconds: number): string {
  return milliseconds < 1000
    ? `${Number(milliseconds.toPrecision(2))} ms`
    : `${Number((milliseconds / 1000).toPrecision(2))} s`;
}
