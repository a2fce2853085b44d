/** What is measured: lists of layers that run one after the other and count as one sum. */

import { resnet50Layers } from './resnet50.ts';

/** Order of the dimensions in memory, as in the library. */
export type MemoryFormat = 'contiguous' | 'channels_last';

/** One layer's input, in logical (N, C, …) order. */
export interface LayerShape {
  readonly shape: readonly number[];
  readonly format: MemoryFormat;
}

/** Workloads that the figures to reach treat alike. `flat` is (N, C). */
export type Family = 'contiguous' | 'channels_last' | 'flat' | 'network' | 'small';

export interface Workload {
  /** As `--shapes` takes it. */
  readonly name: string;
  readonly family: Family;
  readonly layers: readonly LayerShape[];
  /** Left out by `--quick`. */
  readonly isLong?: true;
}

/** Every workload, by rising need of memory at the end. */
export const workloads: readonly Workload[] = [
  single('small', [4, 16, 8, 8]),
  single('contiguous', [8, 64, 128, 128]),
  single('contiguous', [4, 3, 256, 256]),
  single('contiguous', [32, 256, 14, 14]),
  single('contiguous', [16, 2048, 7, 7]),
  single('contiguous', [1, 256, 3136]),
  single('flat', [4096, 512]),
  single('flat', [128, 8192]),
  single('channels_last', [8, 64, 128, 128]),
  single('channels_last', [4, 3, 256, 256]),
  single('channels_last', [32, 256, 14, 14]),
  { ...single('contiguous', [32, 64, 128, 128]), isLong: true },
  { ...single('channels_last', [32, 64, 128, 128]), isLong: true },
  network(1),
  { ...network(8), isLong: true },
];

/** Number of f32 values in the inputs of all layers. */
export function elementsOf(workload: Workload): number {
  return workload.layers.reduce((sum, layer) => sum + elementCount(layer.shape), 0);
}

/** Number of values in a tensor of that shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Sizes as every kernel sees them: samples, channels, values per sample and channel. */
export function sizesOf(shape: readonly number[]): { samples: number; channels: number; length: number } {
  const [samples = 0, channels = 0, ...rest] = shape;
  return { samples, channels, length: elementCount(rest) };
}

function single(family: Exclude<Family, 'network'>, shape: readonly number[]): Workload {
  const format = family === 'channels_last' ? 'channels_last' : 'contiguous';
  const suffix = family === 'channels_last' ? ':channels_last' : '';
  return { name: `${shape.join('x')}${suffix}`, family, layers: [{ shape, format }] };
}

/** The batch norm layers of ResNet-50. */
export function network(samples: number): Workload {
  const layers = resnet50Layers().map(({ channels, side }): LayerShape => {
    return { shape: [samples, channels, side, side], format: 'contiguous' };
  });
  return { name: `resnet50:${samples}`, family: 'network', layers };
}
