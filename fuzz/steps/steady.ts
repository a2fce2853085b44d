/** The same pass twice, whether it succeeds or fails: after the second no device holds anything else than after the first. */

import { MemoryAccount } from '../memory.ts';
import type { StepOf } from '../program.ts';
import type { World } from '../world.ts';
import { forward } from './forward.ts';

export async function steady(world: World, { pass }: StepOf<'steady'>): Promise<void> {
  if (world.lost.size > 0 || pass.fault?.how === 'end' || pass.fault?.how === 'never') return;
  const names = [...new Set([...world.names, world.twinDevice])];
  while (world.graphs.length > 0) world.release(world.taken(0));
  // Copies of parameters and statistics stay on the devices of replicas once a pass has succeeded.
  await forwardAndRelease(world, { ...pass, fault: null });
  await forwardAndRelease(world, pass);
  const account = new MemoryAccount(names);
  await forwardAndRelease(world, pass);
  await account.checkBalanced('a repeated forward', true);
}

async function forwardAndRelease(world: World, pass: StepOf<'steady'>['pass']): Promise<void> {
  await forward(world, pass);
  world.release(world.taken(0));
}
