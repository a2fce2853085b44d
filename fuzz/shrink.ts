/** Makes a program shorter and simpler for as long as it shows the same fault. */

import type { Program } from './program.ts';

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Whether a program shows the fault. */
export type Fails = (program: Program) => Promise<boolean>;

export interface Shrunk {
  readonly program: Program;
  /** Programs that were tried. */
  readonly tries: number;
}

/** What is simplest for a property, wherever it stands. */
const simplest: Readonly<Record<string, Json>> = {
  wrapper: 'callback',
  output: 0,
  dim: 0,
  mode: 'plain',
  format: 'contiguous',
  values: 'normal',
  requiresGrad: true,
  training: true,
  donate: false,
  probe: false,
  atOnce: false,
  fault: null,
  lengths: [],
  eps: 1e-5,
  momentum: 0.1,
  affine: true,
  bias: true,
  trackRunningStats: true,
  numerics: 'stable',
  damage: -1,
  isDestroyed: false,
  isAsync: false,
};

/** @param most - programs to try at most. */
export async function shrink(program: Program, fails: Fails, most: number): Promise<Shrunk> {
  let best = program;
  let tries = 0;
  /** Whether a simpler program shows the fault; it is then the best. */
  const accepts = async (candidate: Program): Promise<boolean> => {
    if (tries >= most || !isProgram(candidate)) return false;
    tries += 1;
    if (!(await fails(candidate))) return false;
    best = candidate;
    return true;
  };
  let before: Program | null = null;
  while (before !== best && tries < most) {
    before = best;
    for (const list of ['steps', 'model', 'devices'] as const) await shorten(list, () => best, accepts);
    await simplify(() => best, accepts);
  }
  return { program: best, tries };
}

/** What is left when anything is taken away need not be one. */
function isProgram({ devices, model, steps, rank, channels }: Program): boolean {
  return [devices, model, steps].every(({ length }) => length > 0) && rank >= 2 && channels >= 1;
}

type Accepts = (candidate: Program) => Promise<boolean>;

/** Removes runs of items, long ones first. */
async function shorten(list: 'steps' | 'model' | 'devices', best: () => Program, accepts: Accepts): Promise<void> {
  for (let run = Math.ceil(best()[list].length / 2); run >= 1; run = run === 1 ? 0 : Math.ceil(run / 2)) {
    // From the end, since what comes later hangs on what came before.
    for (let start = best()[list].length - run; start >= 0; start -= run) {
      const items: readonly unknown[] = best()[list];
      const rest = [...items.slice(0, start), ...items.slice(start + run)];
      if (rest.length > 0) await accepts({ ...best(), [list]: rest });
    }
  }
}

/** Tries simpler values at every place, until none is accepted. */
async function simplify(best: () => Program, accepts: Accepts): Promise<void> {
  let place = 0;
  for (;;) {
    const candidates = [...placesOf(best() as unknown as Json)][place];
    if (candidates === undefined) return;
    for (const candidate of candidates()) {
      if (await accepts(candidate as unknown as Program)) break;
    }
    place += 1;
  }
}

/** For every place in a value, the ways to have something simpler there, simplest first. */
function* placesOf(value: Json, key = ''): Generator<() => Iterable<Json>> {
  yield () => simplerThan(value, key);
  if (Array.isArray(value)) {
    const items = value as readonly Json[];
    for (const [i, item] of items.entries()) {
      for (const place of placesOf(item))
        yield () => map(place(), (next) => items.map((other, j) => (j === i ? next : other)));
    }
  } else if (typeof value === 'object' && value !== null) {
    const fields = value as Readonly<Record<string, Json>>;
    for (const [name, item] of Object.entries(fields)) {
      for (const place of placesOf(item, name)) yield () => map(place(), (next) => ({ ...fields, [name]: next }));
    }
  }
}

function* map(values: Iterable<Json>, change: (value: Json) => Json): Generator<Json> {
  for (const value of values) yield change(value);
}

function* simplerThan(value: Json, key: string): Generator<Json> {
  const best = simplest[key];
  if (best !== undefined) {
    if (JSON.stringify(best) !== JSON.stringify(value)) yield best;
    return;
  }
  if (typeof value === 'number') {
    yield* new Set([0, 1, 2, Math.floor(value / 2), value - 1].filter((next) => next >= 0 && next < value));
  } else if (Array.isArray(value)) {
    const items = value as readonly Json[];
    if (items.length > 0) yield [];
    for (const i of items.keys()) yield items.filter((_, j) => j !== i);
  } else if (typeof value === 'object' && value !== null) {
    // In the place of a module one of those inside it, of a repeated pass the pass.
    const { pass, child, left, right, children } = value as Readonly<Record<string, Json>>;
    const inside = [pass, child, left, right, ...(Array.isArray(children) ? (children as readonly Json[]) : [])];
    for (const one of inside) if (one !== undefined) yield one;
  }
}
