/** What two threads do to shared memory, in every order that it can happen in. */

import { vi } from 'vitest';

type Operation = 'load' | 'store' | 'add' | 'sub' | 'wait';

const operations: readonly Operation[] = ['load', 'store', 'add', 'sub', 'wait'];

/**
 * Runs `sleeper` once for each way in which the steps of another thread can fall between its atomic operations. Steps that have not
 * happened when it sleeps happen then, and must wake it.
 *
 * @param start - makes the memory anew: what the sleeper does, and the steps of the other thread in order.
 * @param end - looks at the outcome.
 * @returns in how many of the ways the sleeper slept.
 * @throws Error where nobody wakes a sleeper.
 */
export function inEveryOrder(start: () => Run): number {
  const first = start();
  // Everything happens while it sleeps: how many operations does it do before?
  const { done } = runOnce(first, []);
  let sleeps = 0;
  // If they are very many, it looks again and again, and only the last ones differ.
  for (const places of placesOf(first.steps.length, Math.max(0, done - 12), done + 1)) {
    sleeps += runOnce(start(), places).sleeps;
  }
  return sleeps;
}

/** What {@link inEveryOrder} runs once. */
interface Run {
  readonly sleeper: () => void;
  readonly steps: readonly (() => void)[];
  readonly end: () => void;
}

/**
 * @param places - before which operation of the sleeper each step happens; without one, while it sleeps.
 * @returns how often it slept, and the operations it had done when it slept first.
 */
function runOnce({ sleeper, steps, end }: Run, places: readonly number[]): { sleeps: number; done: number } {
  let [done, doneAwake, happened, sleeps] = [0, 0, 0, 0];
  // Operations of the steps themselves are no places.
  let isOther = false;
  const happenUntil = (isDue: (step: number) => boolean): void => {
    isOther = true;
    while (happened < steps.length && isDue(happened)) {
      steps[happened]?.();
      happened += 1;
    }
    isOther = false;
  };
  const atomics: Readonly<Record<string, (...args: never[]) => unknown>> = { ...originals };
  const notify = vi.spyOn(Atomics, 'notify').mockReturnValue(1);
  for (const operation of operations) {
    vi.spyOn(Atomics, operation).mockImplementation((...args: unknown[]) => {
      if (!isOther) {
        happenUntil((step) => (places[step] ?? Infinity) <= done);
        done += 1;
      }
      if (operation !== 'wait') return atomics[operation]?.(...(args as never[])) as never;
      const [memory, place, value] = args as [Int32Array, number, number];
      if (originals.load(memory, place) !== value) return 'not-equal' as never;
      doneAwake = sleeps === 0 ? done : doneAwake;
      sleeps += 1;
      notify.mockClear();
      happenUntil(() => notify.mock.calls.length === 0);
      if (notify.mock.calls.length === 0) throw new Error(`nobody wakes the sleeper; steps before ${places.join()}`);
      return 'ok' as never;
    });
  }
  try {
    sleeper();
  } finally {
    vi.restoreAllMocks();
  }
  end();
  return { sleeps, done: doneAwake };
}

const originals = {
  load: Atomics.load.bind(Atomics),
  store: Atomics.store.bind(Atomics),
  add: Atomics.add.bind(Atomics),
  sub: Atomics.sub.bind(Atomics),
};

/** Ascending places for so many steps, each from `least` to `most`. */
function* placesOf(steps: number, least: number, most: number): Generator<number[]> {
  if (steps === 0) {
    yield [];
    return;
  }
  for (let place = least; place <= most; place += 1) {
    for (const others of placesOf(steps - 1, place, most)) yield [place, ...others];
  }
}
