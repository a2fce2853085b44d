/** The words in which set-up speaks: one line for each step, or one error with the command that a person would type. */

/** What set-up could not do itself. */
export class SetupError extends Error {
  /**
   * @param {string} missing - what there is none of
   * @param {string} command - what to run by hand before running set-up again
   */
  constructor(missing, command) {
    super(`${missing}\n  run by hand: ${command}\n  then again:  npm run setup`);
    this.name = 'SetupError';
  }
}

/**
 * Says in one line what a step took.
 * @param {string} step - the step
 * @param {string} taken - what it found or did
 */
export function say(step, taken) {
  console.log(`setup: ${step}: ${taken}`);
}

/**
 * Tries ways in order of preference until one works.
 * @template T
 * @param {string} step - the step that needs one of the ways
 * @param {{ name: string, go: () => T | null }[]} ways - each returns null when it is not possible on this machine
 * @returns {T | null} what the first way that worked returned; null when none did
 */
export function firstWay(step, ways) {
  for (const { name, go } of ways) {
    const result = go();
    if (result !== null) return result;
    say(step, `${name} is not possible here`);
  }
  return null;
}
