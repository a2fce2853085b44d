import { expect, test, vi } from 'vitest';
import { CommanderError } from 'commander';
import { readGpuOptions } from './options.ts';

const names = (parameters: string[]) => readGpuOptions(parameters).contenders.map(({ name }) => name);
const shapes = (parameters: string[]) => readGpuOptions(parameters).workloads.map(({ name }) => name);

test('contenders are chosen for each platform that takes part', () => {
  expect(names(['--contenders', 'copy,syncbn'])).toEqual([
    'node/syncbn',
    'node/copy',
    'chromium/syncbn',
    'chromium/copy',
  ]);
  expect(names(['--contenders', 'copy', '--platforms', 'chromium'])).toEqual(['chromium/copy']);
});

test('what needs too much memory is measured only when it is asked for', () => {
  expect(shapes([])).not.toContain('resnet50:8');
  expect(shapes(['--shapes', 'resnet50:8'])).toEqual(['resnet50:8']);
});

test('a quick run keeps the layer that the figures are about', () => {
  expect(shapes(['--quick'])).toContain('8x64x128x128');
  expect(shapes(['--quick']).length).toBeLessThan(shapes([]).length);
});

test.each([
  [['--platforms', 'deno'], 'got deno'],
  [['--contenders', 'pytorch'], 'got pytorch'],
  [['--adapter', 'fast'], 'Allowed choices are auto, hardware, software'],
  [['extra'], 'too many arguments'],
])('%j is refused', (parameters, text) => {
  const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  try {
    expect(() => readGpuOptions(parameters)).toThrow(CommanderError);
    expect(() => readGpuOptions(parameters)).toThrow(text);
  } finally {
    write.mockRestore();
  }
});
