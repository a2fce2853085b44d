/** Whether several replicas of a module run side by side, when what a thread has one of cannot belong to any of them. */

let passes = 0;

/** Whether more than one replica is in its forward now. */
export function doReplicasRun(): boolean {
  return passes > 0;
}

/** Marks the time during which replicas run concurrently in this thread. */
export async function whileReplicasRun<T>(run: () => Promise<T>): Promise<T> {
  passes += 1;
  try {
    return await run();
  } finally {
    passes -= 1;
  }
}
