/** What one sees, in a sentence. */

import type { ErrorTold, PerWay, Settings } from '../protocol.ts';
import { number, percent } from './format.ts';

/** What is known of a training. */
export interface Course {
  readonly settings: Settings;
  readonly step: number;
  readonly scores: PerWay<number>;
  readonly difference: number;
  /** Why plain batch norm does not train; `null` where it does. */
  readonly refused: ErrorTold | null;
}

/** The sentence above the charts. */
export function headline({ settings, step, scores, difference, refused }: Course): string {
  const { deviceIds, task } = settings;
  const synchronized = percent(scores.synchronized ?? NaN);
  const [does, of] = task === 'digits' ? ['tells', 'of new digits right'] : ['reaches', 'overlap with the true masks'];
  const begin = `After ${step} ${step === 1 ? 'step' : 'steps'} on ${deviceIds.length} devices, `;
  const equal =
    difference === 0
      ? 'with exactly the weights that one device learns'
      : `within ${number(difference)} of the weights that one device learns`;
  return refused === null && scores.plain !== null
    ? `${begin}plain batch norm ${does} ${percent(scores.plain)} ${of}, synchronized batch norm ${synchronized}, ${equal}.`
    : `${begin}synchronized batch norm ${does} ${synchronized} ${of}, ${equal}. Plain batch norm cannot train here: each device has a single value per channel.`;
}
