/** Images that nobody has taken, for a step whose numbers are compared. */

import * as tf from '@tensorflow/tfjs-core';

/** Smooth patterns with their classes, one-hot. The same for the same arguments. */
export function patterns(count: number, imageSize: number, classes: number): [xs: tf.Tensor, ys: tf.Tensor] {
  const values = new Float32Array(count * imageSize * imageSize * 3);
  let at = 0;
  for (let n = 0; n < count; n += 1) {
    for (let row = 0; row < imageSize; row += 1) {
      for (let column = 0; column < imageSize; column += 1) {
        for (let channel = 0; channel < 3; channel += 1) {
          values[at] = Math.sin(((n + 1) * row) / 3 + channel) + Math.cos((column * (channel + 2)) / (n + 4));
          at += 1;
        }
      }
    }
  }
  const labels = tf.tidy(() => tf.cast(tf.oneHot(tf.range(0, count, 1, 'int32'), classes), 'float32'));
  return [tf.tensor(values, [count, imageSize, imageSize, 3]), labels];
}
