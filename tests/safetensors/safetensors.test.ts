import { BatchNorm1d, BatchNorm2d, Module, Parameter, Sequential, type StateDict, tensor, Tensor } from 'syncbn';
import { loadSafetensors, SafetensorsError, safetensorsMetadata, saveSafetensors } from 'syncbn/safetensors';
import { describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { randomArray } from '../support/random.ts';
import { fileOf, type PythonFile, pythonFiles } from './safetensors_files.ts';

const files = pythonFiles().map((file): [string, PythonFile] => [file.name, file]);

describe.each(files)('a file that Python has written: %s', (_, { bytes, expected, metadata }) => {
  it('gives_the_names_shapes_and_values_that_PyTorch_reads', async () => {
    const dict = loadSafetensors(bytes);
    expect(Object.keys(dict).sort()).toEqual([...expected.keys()].sort());
    for (const [name, value] of expected) {
      const given = Object.getOwnPropertyDescriptor(dict, name)?.value as unknown;
      if (typeof value === 'object') {
        expect(given).toBeInstanceOf(Tensor);
        expect((given as Tensor).shape).toEqual(value.shape);
        expectSameBits(await (given as Tensor).data(), value.values.map(Number), name);
      } else {
        expect(given, name).toBe(Number(value));
      }
    }
    expect(safetensorsMetadata(bytes)).toEqual(metadata);
  });
});

it.each(['a trained network', 'nothing', 'shapes and names'])(
  'what is read is written with the bytes of Python: %s',
  async (name) => {
    const file = pythonFiles().find((candidate) => candidate.name === name);
    const bytes = file?.bytes ?? new Uint8Array();
    const hasMetadata = Object.keys(file?.metadata ?? {}).length > 0;
    const options = hasMetadata ? { metadata: file?.metadata ?? {} } : {};
    expect(await saveSafetensors(loadSafetensors(bytes), options)).toEqual(bytes);
  },
);

it('a_network_of_PyTorch_is_loaded_with_its_counters', async () => {
  const file = pythonFiles().find(({ name }) => name === 'a trained network');
  const net = new Sequential(new BatchNorm2d(3), new Sequential(new BatchNorm2d(3, { affine: false })));
  await net.loadStateDict(loadSafetensors(file?.bytes ?? new Uint8Array()));
  expect(net.stateDict()).toMatchObject({ '0.num_batches_tracked': 2, '1.0.num_batches_tracked': 2 });
  const mean = file?.expected.get('1.0.running_mean') as { readonly values: readonly number[] };
  expectSameBits(await (net.stateDict()['1.0.running_mean'] as Tensor).data(), mean.values);
});

it('every_half_is_the_number_that_its_bits_say', async () => {
  const halves = Uint16Array.from({ length: 2 ** 16 }, (_, i) => i);
  const header = `{"x":{"dtype":"F16","shape":[65536],"data_offsets":[0,131072]}}`;
  const { x } = loadSafetensors(fileOf(header, [...new Uint8Array(halves.buffer)]));
  const expected = Array.from(halves, (half) => {
    const [sign, exponent, fraction] = [half >> 15 ? -1 : 1, (half >> 10) & 31, half & 1023];
    if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
    return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  });
  expectSameBits(await (x as Tensor).data(), expected);
});

describe('what a module holds', () => {
  class Everything extends Module {
    readonly layers = new Sequential(new BatchNorm1d(3), new BatchNorm2d(2, { affine: false, device: 'cpu:1' }));
    readonly kernel = new Parameter(tensor(randomArray(1, 24), [2, 3, 2, 2], { memoryFormat: 'channels_last' }));
    readonly scalar = new Parameter(tensor(0.5));
    constructor(numbers: Readonly<Record<string, number>>) {
      super();
      Object.entries(numbers).forEach(([name, value]) => this.registerBuffer(name, value));
      this.registerBuffer('empty', tensor(new Float32Array(0), [0, 4]));
    }
    forward(): void {
      // Its state is the case.
    }
  }

  it('comes_back_bit_for_bit_with_its_numbers', async () => {
    const numbers = {
      count: 7,
      minus: -7,
      tenth: 0.1,
      largest: 2 ** 53 - 1,
      beyond: 2 ** 60,
      endless: Infinity,
      zero: -0,
    };
    const source = new Everything(numbers);
    await source.layers
      .train()
      .forward(tensor(randomArray(2, 12), [4, 3]))
      .catch(() => undefined);
    const target = new Everything(Object.fromEntries(Object.keys(numbers).map((name) => [name, 1])));
    await target.kernel.copy_(new Float32Array(24));
    await target.loadStateDict(loadSafetensors(await saveSafetensors(source.stateDict())));
    expect(await valuesOf(target.stateDict())).toEqual(await valuesOf(source.stateDict()));
  });

  it('is_what_it_was_at_the_call', async () => {
    const weight = tensor([1, 2]);
    const saving = saveSafetensors({ weight });
    await weight.copy_(Float32Array.of(3, 4));
    expect(await valuesOf(loadSafetensors(await saving))).toEqual({ weight: [1, 2] });
  });
});

it.each<[string, (bytes: Uint8Array<ArrayBuffer>) => Uint8Array | ArrayBuffer]>([
  ['an ArrayBuffer', (bytes) => bytes.buffer],
  ['a view that begins at an odd address', (bytes) => new Uint8Array([1, 2, 3, ...bytes]).subarray(3)],
  [
    'shared memory',
    (bytes) => {
      // Pages that are not isolated have no `SharedArrayBuffer` by name.
      const { buffer } = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
      const shared = new Uint8Array(buffer, 8, bytes.length);
      shared.set(bytes);
      return shared;
    },
  ],
])('bytes may be %s', async (_, arranged) => {
  const bytes = await saveSafetensors({ x: tensor([1, 2, 3]), n: 5 });
  expect(await valuesOf(loadSafetensors(arranged(bytes)))).toEqual({ x: [1, 2, 3], n: 5 });
});

it('tensors_are_made_on_the_device_that_is_named', async () => {
  const { x } = loadSafetensors(await saveSafetensors({ x: tensor([1]) }), { device: 'cpu:1' });
  expect((x as Tensor).device).toBe('cpu:1');
});

it.each<[string, () => unknown, string]>([
  ['an array of values', () => ({ x: [1, 2] }), 'expected a Tensor or a number under the key "x", got an array'],
  ['a module', () => new BatchNorm1d(1), 'expected a Tensor or a number under the key'],
  ['the key of the metadata', () => ({ __metadata__: 1 }), 'other than __metadata__'],
  ['half a character in a name', () => ({ '\ud800': 1 }), 'Unicode text'],
])('%s is not written', async (_, dict, text) => {
  await expect(saveSafetensors(dict() as StateDict)).rejects.toThrow(TypeError);
  await expect(saveSafetensors(dict() as StateDict)).rejects.toThrow(text);
});

it('metadata_that_are_no_texts_are_refused', async () => {
  await expect(saveSafetensors({}, { metadata: { epoch: 3 } as never })).rejects.toThrow(
    'expected metadata to be texts by name, got a number under "epoch"',
  );
});

it.each<[string, unknown, string]>([
  ['a path', 'model.safetensors', 'got a string'],
  ['a response', Promise.resolve(new ArrayBuffer(8)), 'got a promise (await it)'],
  ['other numbers', Float32Array.of(1), 'got a value of class Float32Array'],
])('%s is no bytes', (_, given, text) => {
  expect(() => loadSafetensors(given as Uint8Array)).toThrow(TypeError);
  expect(() => loadSafetensors(given as Uint8Array)).toThrow(text);
});

const four = [0, 0, 128, 63];
const info = (dtype: string, shape: string, offsets: string): string =>
  `{"dtype":${dtype},"shape":${shape},"data_offsets":${offsets}}`;
const whole = info('"F32"', '[1]', '[0,4]');

describe('a file of one tensor', () => {
  it.each<[string, Uint8Array]>([
    ['as it should be', fileOf(`{"x":${whole}}`, four)],
    ['with spaces after the header', fileOf(`{"x":${whole}}   `, four)],
    [
      'with fields in another order, and one unknown',
      fileOf('{"x":{"shape":[1],"more":"","data_offsets":[0,4],"dtype":"F32"}}', four),
    ],
    ['beside an empty one', fileOf(`{"x":${whole},"y":${info('"F32"', '[0]', '[4,4]')}}`, four)],
    ['without metadata in their place', fileOf(`{"__metadata__":null,"x":${whole}}`, four)],
  ])('is read %s', async (_, bytes) => {
    expect(await valuesOf(loadSafetensors(bytes))).toMatchObject({ x: [1] });
  });

  it.each<[string, Uint8Array, string]>([
    ['no bytes at all', new Uint8Array(), 'got 0'],
    ['seven bytes', new Uint8Array(7), 'got 7'],
    ['a header without length', fileOf(''), 'begins with {, got ""'],
    [
      'a header longer than the file',
      fileOf(`{"x":${whole}}`, four, 1000),
      'expected a header of 1000 bytes, got 58 bytes',
    ],
    ['a header longer than a header may be', fileOf(`{"x":${whole}}`, four, 100_000_001), 'at most 100000000 bytes'],
    ['a header as long as 64 bits can say', fileOf(`{"x":${whole}}`, four, 2n ** 64n - 1n), 'at most 100000000 bytes'],
    ['a header that is cut off', fileOf(`{"x":${whole}}`, four, 30), 'does not parse'],
    ['a header that takes in values', fileOf(`{"x":${whole}}`, [48, 48, 48, 48], 58), 'does not parse'],
    ['a header that is not UTF-8', fileOf(Uint8Array.of(123, 34, 255, 34, 125)), 'in UTF-8'],
    ['a header after a mark of order', fileOf(`\ufeff{"x":${whole}}`, four), 'begins with {'],
    ['a header after a space', fileOf(` {"x":${whole}}`, four), 'begins with {'],
    ['an array as header', fileOf('[]'), 'begins with {'],
    ['a name twice', fileOf(`{"x":${whole},"x":${whole}}`, four), 'every key once, got "x" twice'],
    ['a name twice, written in two ways', fileOf(`{"x":${whole},"\\u0078":${whole}}`, four), 'every key once'],
    [
      'a field twice',
      fileOf(`{"x":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, four),
      'every key once',
    ],
    ['half a character as name', fileOf(`{"\\ud800":${whole}}`, four), 'Unicode text'],
    ['a number in the place of a tensor', fileOf('{"x":4}', four), 'an object that describes tensor "x", got 4'],
    ['null in the place of a tensor', fileOf('{"x":null}', four), 'got null'],
    ['an array in the place of a tensor', fileOf('{"x":[]}', four), 'got []'],
    ['no dtype', fileOf('{"x":{"shape":[1],"data_offsets":[0,4]}}', four), 'got undefined'],
    ['an unknown dtype', fileOf(`{"x":${info('"F31"', '[1]', '[0,4]')}}`, four), "got 'F31'"],
    ['a dtype in small letters', fileOf(`{"x":${info('"f32"', '[1]', '[0,4]')}}`, four), "got 'f32'"],
    ['complex numbers', fileOf(`{"x":${info('"C64"', '[1]', '[0,8]')}}`, [...four, ...four]), "got 'C64'"],
    [
      'a name of every object as dtype',
      fileOf(`{"x":${info('"constructor"', '[1]', '[0,4]')}}`, four),
      "got 'constructor'",
    ],
    ['no shape', fileOf('{"x":{"dtype":"F32","data_offsets":[0,4]}}', four), 'expected the shape of tensor "x"'],
    ['a negative size', fileOf(`{"x":${info('"F32"', '[-1]', '[0,4]')}}`, four), 'got -1'],
    ['a fraction as size', fileOf(`{"x":${info('"F32"', '[1.5]', '[0,4]')}}`, four), 'got 1.5'],
    ['a size with a decimal point', fileOf(`{"x":${info('"F32"', '[1.0]', '[0,4]')}}`, four), 'got 1.0'],
    ['a size with an exponent', fileOf(`{"x":${info('"F32"', '[1e0]', '[0,4]')}}`, four), 'got 1e0'],
    ['a text as size', fileOf(`{"x":${info('"F32"', '["1"]', '[0,4]')}}`, four), 'got ["1"]'],
    [
      'sizes whose product no number holds',
      fileOf(`{"x":${info('"F32"', '[4294967296,4294967296,0]', '[0,4]')}}`, four),
      'to fill',
    ],
    [
      'sizes whose product is infinite',
      fileOf(
        `{"x":${info(
          '"F32"',
          `[${Array(40)
            .fill(2 ** 40)
            .join()}]`,
          '[0,4]',
        )}}`,
        four,
      ),
      'to fill',
    ],
    ['another size than its bytes', fileOf(`{"x":${info('"F32"', '[2]', '[0,4]')}}`, four), 'to fill 8 bytes'],
    ['no offsets', fileOf('{"x":{"dtype":"F32","shape":[1]}}', four), 'expected the data_offsets'],
    ['three offsets', fileOf(`{"x":${info('"F32"', '[1]', '[0,4,4]')}}`, four), 'expected the data_offsets'],
    ['offsets in the wrong order', fileOf(`{"x":${info('"F32"', '[1]', '[4,0]')}}`, four), 'to fill 4 bytes'],
    ['offsets beyond the end', fileOf(`{"x":${info('"F32"', '[1]', '[4,8]')}}`, four), 'within the 4 bytes'],
    [
      'offsets that no number holds',
      fileOf(`{"x":${info('"F32"', '[1]', '[18446744073709551612,18446744073709551616]')}}`, four),
      'data_offsets',
    ],
    ['values that overlap', fileOf(`{"x":${whole},"y":${whole}}`, four), 'to begin where'],
    [
      'values that overlap in part',
      fileOf(`{"x":${whole},"y":${info('"F32"', '[1]', '[2,6]')}}`, [...four, 0, 0]),
      'to begin where',
    ],
    [
      'a gap before the values',
      fileOf(`{"x":${info('"F32"', '[1]', '[4,8]')}}`, [...four, ...four]),
      'at byte 0, got byte 4',
    ],
    [
      'a gap between values',
      fileOf(`{"x":${whole},"y":${info('"F32"', '[1]', '[8,12]')}}`, [...four, ...four, ...four]),
      'to begin where',
    ],
    [
      'an empty tensor within another',
      fileOf(`{"x":${whole},"y":${info('"F32"', '[0]', '[2,2]')}}`, four),
      'to begin where',
    ],
    ['values that are cut off', fileOf(`{"x":${whole}}`, four.slice(1)), 'within the 3 bytes'],
    ['bytes after the values', fileOf(`{"x":${whole}}`, [...four, 0]), 'to fill all 5 bytes'],
    ['metadata that are no texts', fileOf(`{"__metadata__":{"a":1},"x":${whole}}`, four), 'an object of texts'],
    ['metadata that are an array', fileOf(`{"__metadata__":["a"],"x":${whole}}`, four), 'an object of texts'],
    [
      'a counter that no number holds',
      fileOf(`{"x":${info('"I64"', '[]', '[0,8]')}}`, [0, 0, 0, 0, 0, 0, 0, 64]),
      'got 4611686018427387904',
    ],
    [
      'an integer that f32 does not hold',
      fileOf(`{"x":${info('"I32"', '[1]', '[0,4]')}}`, [1, 0, 0, 1]),
      'got 16777217',
    ],
  ])('is refused with %s', (_, bytes, text) => {
    expect(() => loadSafetensors(bytes)).toThrow(SafetensorsError);
    expect(() => loadSafetensors(bytes)).toThrow(text);
  });
});

it('every_beginning_of_a_file_is_refused', async () => {
  const bytes = await saveSafetensors(new BatchNorm1d(2).stateDict());
  for (let length = 0; length < bytes.length; length++) {
    expect(() => loadSafetensors(bytes.subarray(0, length))).toThrow(SafetensorsError);
  }
});

it('a_long_name_and_deep_nesting_are_answered', () => {
  const name = 'x'.repeat(5_000_000);
  expect(Object.keys(loadSafetensors(fileOf(`{"${name}":${whole}}`, four)))).toEqual([name]);
  expect(() => loadSafetensors(fileOf(`{"x":${'['.repeat(1_000_000)}`))).toThrow(SafetensorsError);
  const nested = '['.repeat(100_000) + ']'.repeat(100_000);
  expect(() => loadSafetensors(fileOf(`{"x":${nested}}`))).toThrow(SafetensorsError);
});

async function valuesOf(dict: StateDict): Promise<Record<string, unknown>> {
  const entries = Object.entries(dict).map(async ([key, value]) => {
    return [key, value instanceof Tensor ? [...(await value.data())] : value] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}
