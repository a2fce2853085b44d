/** Runs a program from a new model to its end, where nothing may be left. */

import { Fault, describeError, HANG_SECONDS, inTime, withoutNumbers } from './outcome.ts';
import type { Program, Step } from './program.ts';
import { adopt } from './steps/adopt.ts';
import { backward } from './steps/backward.ts';
import { change, move } from './steps/change.ts';
import { clamp } from './steps/clamp.ts';
import { concurrent } from './steps/concurrent.ts';
import { forward } from './steps/forward.ts';
import { functionalSteps } from './steps/functional.ts';
import { ranks } from './steps/ranks.ts';
import { layer } from './steps/layer.ts';
import { refuse } from './steps/refuse.ts';
import { scopes } from './steps/scopes.ts';
import { steady } from './steps/steady.ts';
import { canEnd } from './platform.ts';
import { type Sabotage, World } from './world.ts';

export interface RunOptions {
  /** Called before each step. */
  readonly onStep?: (index: number) => void;
  /** After so many seconds a step hangs; by default {@link HANG_SECONDS}. */
  readonly hangSeconds?: number;
  /** Makes the twin wrong. */
  readonly sabotage?: Sabotage;
}

/** @throws Fault for the first thing that is wrong. */
export async function runProgram(program: Program, options: RunOptions = {}): Promise<void> {
  const { onStep, sabotage, hangSeconds = HANG_SECONDS } = options;
  const stray = new StrayErrors();
  const { warn } = console;
  // The library warns where replicas lose their synchronization, which programs bring about on purpose.
  console.warn = () => undefined;
  try {
    const world = await inTime(World.open(program, sabotage ?? null), 'the beginning', hangSeconds);
    for (const [i, step] of program.steps.entries()) {
      onStep?.(i);
      const what = step.kind;
      await inTime(take(world, step), what, hangSeconds);
      await inTime(world.check(`after ${what}`), `the state after ${what}`, hangSeconds);
      await world.checkMemory(what);
      stray.check(what);
    }
    world.dispose();
    await world.memory.checkBalanced('the end');
    stray.check('the end');
  } catch (error) {
    if (error instanceof Fault) throw error;
    const text = describeError(error);
    throw new Fault('error', withoutNumbers(text), stackOf(error), { cause: error });
  } finally {
    console.warn = warn;
    stray.close();
  }
}

async function take(world: World, step: Step): Promise<void> {
  switch (step.kind) {
    case 'forward':
      return forward(world, step);
    case 'backward': {
      const graph = world.taken(step.graph);
      return graph === null ? undefined : backward(world, graph, step);
    }
    case 'dispose':
      world.release(world.taken(step.graph));
      return;
    case 'move':
      return world.lost.has(world.first) ? undefined : move(world, step);
    case 'end': {
      const name = world.nameAt(step.device);
      return canEnd(name) && !world.lost.has(name) ? world.end(name) : undefined;
    }
    case 'recreate': {
      const name = [...world.lost][0] ?? world.nameAt(step.device);
      return canEnd(name) ? world.recreate(name) : undefined;
    }
    case 'refuse':
      return refuse(world, step);
    case 'steady':
      return steady(world, step);
    case 'concurrent':
      return concurrent(world, step);
    case 'adopt':
      return adopt(world, step);
    case 'scopes':
      return scopes(world, step);
    case 'clamp':
      return clamp(world, step);
    case 'layer':
      return layer(world, step);
    case 'functional':
      return functionalSteps(world, step);
    case 'ranks':
      return ranks(world, step);
    case 'update':
    case 'copy':
    case 'load':
    case 'zeroGrad':
    case 'gradNull':
    case 'gradSet':
    case 'save':
    case 'restore':
    case 'reset':
    case 'freeze':
    case 'convert':
    case 'revert':
      return world.lost.has(world.first) ? undefined : change(world, step);
    default:
      step satisfies never;
  }
}

/** Where an error came from, as far as a look needs. */
function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message).split('\n').slice(0, 8).join('\n') : String(error);
}

/** Rejections that nobody handles, and errors that nobody catches. */
class StrayErrors {
  readonly #errors: unknown[] = [];
  readonly #note = (error: unknown): void => void this.#errors.push(error);

  constructor() {
    process.on('unhandledRejection', this.#note);
    process.on('uncaughtException', this.#note);
  }

  /** @throws Fault for the first of them. */
  check(what: string): void {
    const [first] = this.#errors;
    if (this.#errors.length === 0) return;
    const text = describeError(first);
    throw new Fault('unhandled', `${what}: ${withoutNumbers(text)}`, stackOf(first), { cause: first });
  }

  close(): void {
    process.off('unhandledRejection', this.#note);
    process.off('uncaughtException', this.#note);
  }
}
