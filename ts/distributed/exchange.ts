/** Exchanges between ranks, and how their messages are labelled. */

import { LONGEST_LABEL } from './frame.ts';

/** What ranks do together, once. */
export interface Exchange {
  readonly path: string;
  /** `null`: there may be several of this path. */
  readonly number: number | null;
  /** What is done, with all that must be the same on every rank. */
  readonly descriptor: string;
  /** Names the exchange in errors. */
  readonly tag: string;
}

/** What a message tells of its exchange. */
export interface Label extends Omit<Exchange, 'tag'> {
  /** Which of the exchange's messages it is; those of a rank are told apart by it. */
  readonly stage: number;
}

/** Names an exchange among those under way; all of a path without numbers have one name. */
export function keyOf({ path, number }: Pick<Exchange, 'path' | 'number'>): string {
  return number === null ? path : `${path} ${number}`;
}

export function encodeLabel({ path, number, descriptor }: Exchange, stage: number): string {
  return JSON.stringify([path, number, stage, descriptor]);
}

/** @returns `null` for what is no label. */
export function decodeLabel(text: string): Label | null {
  try {
    const [path, number, stage, descriptor] = JSON.parse(text) as unknown[];
    const isNumber = number === null || typeof number === 'number';
    return typeof path === 'string' && isNumber && typeof stage === 'number' && typeof descriptor === 'string'
      ? { path, number, stage, descriptor }
      : null;
  } catch {
    return null;
  }
}

/** @throws RangeError for a tag that does not fit into a frame. */
export function checkTag(where: string, tag: string): void {
  if (tag.length > LONGEST_LABEL / 8) {
    throw new RangeError(`${where}: expected a tag of at most ${LONGEST_LABEL / 8} characters, got ${tag.length}`);
  }
}
