import { describe, expect, test } from 'vitest';
import { resnet50Layers } from './resnet50.ts';

describe('the batch-norm layers of ResNet-50', () => {
  const layers = resnet50Layers();

  test('are 53', () => {
    expect(layers).toHaveLength(53);
  });

  test('have the 53,120 parameters of the published model', () => {
    const channels = layers.reduce((sum, layer) => sum + layer.channels, 0);
    expect(2 * channels).toBe(53_120);
  });

  test('stand behind convolutions which make up the 25,557,032 parameters of the published model', () => {
    const classifier = 2048 * 1000 + 1000;
    expect(convolutionParameters(layers) + 53_120 + classifier).toBe(25_557_032);
  });

  test('halve the plane once per stage', () => {
    const sides = layers.map((layer) => layer.side);
    expect(sides).toEqual([...sides].sort((a, b) => b - a));
    expect([...new Set(sides)]).toEqual([112, 56, 28, 14, 7]);
  });

  test('normalize 11.1 million values per image of 224 × 224', () => {
    const values = layers.reduce((sum, { channels, side }) => sum + channels * side ** 2, 0);
    expect(values).toBe(11_113_984);
  });
});

/** Weights of the convolution before each layer, from the channels of the layers alone. */
function convolutionParameters(layers: readonly { readonly channels: number }[]): number {
  const channels = layers.map((layer) => layer.channels);
  const at = (i: number) => channels[i] ?? Number.NaN;
  let parameters = 3 * at(0) * 7 ** 2;
  let input = at(0);
  let i = 1;
  for (const blocks of [3, 4, 6, 3]) {
    for (let block = 0; block < blocks; block++) {
      parameters += input * at(i) + at(i) * at(i + 1) * 3 ** 2 + at(i + 1) * at(i + 2);
      if (block === 0) parameters += input * at(i + 3);
      input = at(i + 2);
      i += block === 0 ? 4 : 3;
    }
  }
  return parameters;
}
