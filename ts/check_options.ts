/**
 * The check of an options object, the same for every public function that takes one: a name that the function does not know is
 * an error. A misspelt option that is ignored would compute something else than the caller believes.
 */

import { describeValue, quoteValue } from './describe_value.ts';

/** What an option holds, as far as it helps to guess which one a bare value was meant for. */
export type OptionKind = 'number' | 'string' | 'boolean' | 'array' | 'object' | 'function';

/** The names of all options of a function, in the order in which PyTorch takes them by position. */
export type KnownOptions<Options> = Readonly<Record<keyof Options, OptionKind>>;

/**
 * @param where - the function, as errors name it: `new BatchNorm2d()`.
 * @param options - what the caller gave; `undefined` means no options.
 * @param extra - what the caller gave after the options, which nobody would read.
 * @throws TypeError for what is no object of options, and for an option that `known` does not name.
 */
export function checkOptions<Options>(
  where: string,
  options: unknown,
  known: KnownOptions<Options>,
  extra: readonly unknown[] = [],
): void {
  if (extra.length > 0) {
    throw new TypeError(
      `${where}: expected no argument after the options, got ${quoteValue(extra[0])}; the options, which are one object, are ` +
        Object.keys(known).join(', '),
    );
  }
  if (options === undefined) {
    return;
  }
  const names = Object.keys(known);
  if (typeof options !== 'object' || options === null) {
    refuseValue(where, options, known);
  }
  // `for … in` passes over symbols.
  const [symbol] = Object.getOwnPropertySymbols(options);
  if (symbol !== undefined) {
    throw new TypeError(`${where}: unknown option ${String(symbol)}; the options are ${names.join(', ')}`);
  }
  let count = 0;
  // Inherited options count too: callers may keep their defaults in a prototype.
  for (const name in options) {
    count += 1;
    if (!Object.hasOwn(known, name)) {
      if (!isPlain(options)) {
        refuseValue(where, options, known);
      }
      throw new TypeError(`${where}: unknown option '${name}'; ${adviceFor(name, names)}`);
    }
  }
  if (count === 0 && !isPlain(options)) {
    refuseValue(where, options, known);
  }
}

function refuseValue(where: string, value: unknown, known: Readonly<Record<string, OptionKind>>): never {
  const names = Object.keys(known);
  const kind = Array.isArray(value) ? 'array' : typeof value;
  const meant = value === null ? undefined : names.find((name) => known[name] === kind);
  const advice =
    meant === undefined ? `the options are ${names.join(', ')}` : `did you mean { ${meant}: ${show(value)} }?`;
  throw new TypeError(`${where}: expected an object of options, got ${describeValue(value)}; ${advice}`);
}

/** Whether an object comes from an object literal, of whatever realm. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function adviceFor(name: string, known: readonly string[]): string {
  const camelCase = name.replace(/_+([a-z0-9])/gi, (_, letter: string) => letter.toUpperCase());
  const [closest] = known
    .map((candidate) => ({ candidate, distance: distanceBetween(camelCase.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ candidate, distance }) => distance <= Math.max(1, Math.floor(candidate.length / 3)))
    .sort((a, b) => a.distance - b.distance);
  return closest === undefined ? `the options are ${known.join(', ')}` : `did you mean ${closest.candidate}?`;
}

/** How many letters must be inserted, removed, replaced or exchanged with their neighbour to make one word of the other. */
function distanceBetween(a: string, b: string): number {
  // Row i holds the distances of the first i letters of `a` from all beginnings of `b`.
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  const at = (i: number, j: number): number => rows[i]?.[j] ?? 0;
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    rows.push(row);
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isExchange = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const exchanged = isExchange ? at(i - 2, j - 2) + 1 : Infinity;
      row.push(Math.min(replaced, at(i - 1, j) + 1, at(i, j - 1) + 1, exchanged));
    }
  }
  return at(a.length, b.length);
}

/** A value as the caller wrote it, where it is short. */
function show(value: unknown): string {
  if (Array.isArray(value)) {
    return value.length <= 4 && value.every((item) => typeof item === 'string')
      ? `[${value.map(show).join(', ')}]`
      : '[…]';
  }
  return typeof value === 'object' || typeof value === 'function' ? '…' : quoteValue(value);
}
