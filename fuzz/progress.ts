/** What the terminal shows meanwhile. */

import { Presets, SingleBar } from 'cli-progress';

export interface Progress {
  update(steps: number, programs: number, faults: number): void;
  stop(): void;
}

/** A stream that knows whether it is a terminal. */
export type Terminal = NodeJS.WritableStream & { readonly isTTY?: boolean };

/** Between two lines where there is no terminal. */
const LINE_EVERY_MS = 30_000;

/** A moving bar on a terminal; elsewhere a line from time to time. */
export function createProgress(stream: Terminal, steps: number): Progress {
  return stream.isTTY === true && Number.isFinite(steps) ? bar(stream, steps) : lines(stream);
}

function bar(stream: Terminal, total: number): Progress {
  const single = new SingleBar(
    { stream, format: 'fuzz {bar} {value}/{total} steps · {programs} programs · {faults} faults', barsize: 20 },
    Presets.shades_classic,
  );
  single.start(total, 0, { programs: 0, faults: 0 });
  return {
    update: (steps, programs, faults) => single.update(Math.min(steps, total), { programs, faults }),
    stop: () => single.stop(),
  };
}

function lines(stream: Terminal): Progress {
  let told = performance.now();
  return {
    update: (steps, programs, faults) => {
      if (performance.now() - told < LINE_EVERY_MS) return;
      told = performance.now();
      stream.write(`fuzz: ${steps} steps, ${programs} programs, ${faults} faults so far\n`);
    },
    stop: () => undefined,
  };
}
