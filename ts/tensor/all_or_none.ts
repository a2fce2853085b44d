/** Several attempts at once, of which all succeed or none is kept. */

/**
 * Awaits all attempts, the failed ones too, so that none runs on unnoticed.
 * @param undo - gives back what an attempt has brought, when another fails.
 * @throws the failure of the first attempt that failed, in the order given.
 */
export async function allOrNone<T>(attempts: readonly Promise<T>[], undo: (result: T) => void): Promise<T[]> {
  const outcomes = await Promise.allSettled(attempts);
  const results = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const failure = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failure !== undefined) {
    results.forEach(undo);
    throw failure.reason;
  }
  return results;
}
