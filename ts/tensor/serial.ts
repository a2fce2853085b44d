/** Serial numbers of tensors: they tell whether a tensor was made by a function or existed before it was called. */

let given = 0;

/** The number for a new tensor. */
export function nextSerial(): number {
  return given++;
}

/** The number that the next tensor will get. */
export function upcomingSerial(): number {
  return given;
}
