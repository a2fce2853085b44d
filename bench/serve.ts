/** The side of an engine process: answers requests until its input ends. */

import { createInterface } from 'node:readline';
import { answer } from './answer.ts';
import type { Engine, EngineModule } from './engine.ts';
import type { Reply, Request } from './protocol.ts';

/** Engines that come with packages of `bench/package.json`; the others are in `engines/`. */
const peers = ['jax_js', 'tfjs', 'candle'];

/** Opens an engine by its name, imported when asked for, so that a process holds one framework and no other. */
export async function openEngine(name: string): Promise<Engine> {
  const module = (await (peers.includes(name)
    ? import(`./peers/${name}.ts`)
    : import(`./engines/${name}.ts`))) as EngineModule;
  return module.open();
}

/** Runs the engine on standard input and output. */
export async function serve(engine: Engine): Promise<void> {
  reply({ ok: engine.version });
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      reply({ ok: await answer(engine, JSON.parse(line) as Request) });
    } catch (error) {
      reply({ error: error instanceof Error ? `${error.name}: ${error.message}` : String(error) });
    }
  }
}

function reply(message: Reply): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}
