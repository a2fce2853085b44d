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
export type Family = 'contiguous' | 'channels_last' | 'flat' | 'network' | 'small' | 'chain';

export interface Workload {
  /** As `--shapes` takes it. */
  readonly name: string;
  readonly family: Family;
  /** Each has an input of its own, but in a chain: there one layer is given, and each further one takes what the one before gives. */
  readonly layers: readonly LayerShape[];
  /** How many layers follow each other on one input; 1 but in a chain. */
  readonly chainLength: number;
  /** f32 values in the inputs of all layers. */
  readonly values: number;
  /** Left out unless it is asked for, or by `--quick`. */
  readonly isLong?: true;
}

/** Layers of a chain. */
export const CHAIN_LENGTH = 32;

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
  single('channels_last', [16, 2048, 7, 7]),
  chain([4, 16, 8, 8]),
  chain([16, 64, 28, 28]),
  chain([16, 64, 56, 56]),
  { ...single('contiguous', [32, 64, 128, 128]), isLong: true },
  { ...single('channels_last', [32, 64, 128, 128]), isLong: true },
  network(1),
  { ...network(8), isLong: true },
  { ...network(16), isLong: true },
];

/** Number of values in a tensor of that shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Sizes as every kernel sees them: samples, channels, values per sample and channel. */
export function sizesOf(shape: readonly number[]): { samples: number; channels: number; length: number } {
  const [samples = 0, channels = 0, ...rest] = shape;
  return { samples, channels, length: elementCount(rest) };
}

function workload(name: string, family: Family, layers: readonly LayerShape[], chainLength = 1): Workload {
  const values = chainLength * layers.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  return { name, family, layers, chainLength, values };
}

function single(family: Exclude<Family, 'network' | 'chain'>, shape: readonly number[]): Workload {
  const format = family === 'channels_last' ? 'channels_last' : 'contiguous';
  const suffix = family === 'channels_last' ? ':channels_last' : '';
  return workload(`${shape.join('x')}${suffix}`, family, [{ shape, format }]);
}

function chain(shape: readonly number[]): Workload {
  return workload(`chain:${shape.join('x')}`, 'chain', [{ shape, format: 'contiguous' }], CHAIN_LENGTH);
}

/** The batch norm layers of ResNet-50. */
function network(samples: number): Workload {
  const layers = resnet50Layers().map(({ channels, side }): LayerShape => {
    return { shape: [samples, channels, side, side], format: 'contiguous' };
  });
  return workload(`resnet50:${samples}`, 'network', layers);
}
