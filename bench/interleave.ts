/** The order of measurements: A B C A B C …, so that whatever disturbs the machine for a while disturbs all alike. */

/**
 * Measures contenders in rounds. A round visits, in the order given, each one that is not done yet.
 * @param isDone - asked before every measurement.
 */
export async function interleave<T>(
  contenders: readonly T[],
  isDone: (contender: T) => boolean,
  measure: (contender: T) => Promise<void>,
): Promise<void> {
  let open = contenders;
  while (open.length > 0) {
    for (const contender of open) {
      if (!isDone(contender)) await measure(contender);
    }
    open = open.filter((contender) => !isDone(contender));
  }
}
