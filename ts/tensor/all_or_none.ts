/** Several attempts at once, of which all succeed or none is kept. */

/**
 * Awaits all attempts, the failed ones too, so that none runs on unnoticed.
 * @param attempts - results, or promises of them.
 * @param undo - gives back what an attempt has brought, when another fails.
 * @returns the results themselves where there is nothing to wait for.
 * @throws the failure of the first attempt that failed, in the order given.
 */
export function allOrNone<T>(attempts: readonly (T | Promise<T>)[], undo: (result: T) => void): T[] | Promise<T[]> {
  const results: T[] = [];
  for (const attempt of attempts) {
    if (attempt instanceof Promise) {
      return allSettled(attempts, undo);
    }
    results.push(attempt);
  }
  return results;
}

async function allSettled<T>(attempts: readonly (T | Promise<T>)[], undo: (result: T) => void): Promise<T[]> {
  const outcomes = await Promise.allSettled(attempts);
  const results = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const failure = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failure !== undefined) {
    results.forEach(undo);
    throw failure.reason;
  }
  return results;
}
