/** What an engine does with a request, in a process or in a page. */

import { randomArray } from '../tests/support/random.ts';
import type { Batch, Engine } from './engine.ts';
import type { AnswerTo, CommandName, PlainBatch, PlainResults, Request } from './protocol.ts';
import { timeSteps } from './time_steps.ts';
import { elementCount, type LayerShape, sizesOf } from './workloads.ts';

/** A prime, so that the repeated block falls differently into every row. */
const BLOCK = 100_003;

export async function answer(engine: Engine, request: Request): Promise<AnswerTo<CommandName>> {
  switch (request.command) {
    case 'load':
      await engine.load(randomBatches(request.layers), request.chainLength);
      return null;
    case 'check':
      return check(engine, request.variant, request.batch);
    case 'time':
      return timeSteps(engine.layers(request.variant), request.calls, engine.finish?.bind(engine));
    case 'count':
      return (await engine.count?.(request.variant)) ?? null;
    case 'unload':
      await engine.unload();
      return null;
  }
}

async function check(engine: Engine, variant: string, batch: PlainBatch): Promise<PlainResults> {
  const { x, dy, weight, bias, ...layer } = batch;
  const f32 = (values: readonly number[]) => Float32Array.from(values);
  await engine.load([{ ...layer, x: f32(x), dy: f32(dy), weight: f32(weight), bias: f32(bias) }], 1);
  const run = engine.layers(variant)[0];
  if (run === undefined) throw new Error(`no layer is loaded for variant ${variant}`);
  // The second step must give what the first gave: steps repeat for as long as they are timed.
  await run.refresh?.();
  await run.results();
  await run.refresh?.();
  const results = await run.results();
  await engine.unload();
  const plain = Object.entries(results).map(([name, values]) => [name, Array.from(values as ArrayLike<number>)]);
  return Object.fromEntries(plain) as PlainResults;
}

function randomBatches(layers: readonly LayerShape[]): Batch[] {
  const block = randomArray(1, BLOCK);
  const gradientBlock = randomArray(2, BLOCK);
  return layers.map((layer) => {
    const count = elementCount(layer.shape);
    const { channels } = sizesOf(layer.shape);
    return {
      ...layer,
      x: repeated(block, count),
      dy: repeated(gradientBlock, count),
      weight: new Float32Array(channels).fill(1),
      bias: new Float32Array(channels),
    };
  });
}

function repeated(block: Float32Array, count: number): Float32Array {
  const values = new Float32Array(count);
  for (let start = 0; start < count; start += block.length) {
    values.set(block.subarray(0, Math.min(block.length, count - start)), start);
  }
  return values;
}
