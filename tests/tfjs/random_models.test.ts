/** Random models train as plain TensorFlow.js on one device, and with the same bits on two and three. `npm run search:models` looks at many more. */

import { beforeAll, describe, expect, it } from 'vitest';
import { useBackend } from './backends.ts';
import { apart } from './model_bounds.ts';
import { searchModel } from './model_search.ts';

beforeAll(() => useBackend('cpu'));

describe.each(Array.from({ length: 24 }, (_, seed) => seed))('the random model %i', (seed) => {
  it('trains_as_plain_tfjs_and_has_the_bits_of_one_device_on_two_and_three', async () => {
    expect(apart(await searchModel(seed))).toEqual([]);
  });
});
