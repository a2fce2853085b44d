import { describe, expect, test, vi } from 'vitest';
import { CommanderError, readOptions } from './options.ts';

/** The names that a command line chooses. */
function chosen(parameters: string[], environment: NodeJS.ProcessEnv = {}) {
  const options = readOptions(parameters, environment);
  return { shapes: options.workloads.map(({ name }) => name), contenders: options.contenders.map(({ name }) => name) };
}

/** What the user reads of a refused command line. */
function refusal(parameters: string[], environment: NodeJS.ProcessEnv = {}): string {
  const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  try {
    readOptions(parameters, environment);
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 1) return error.message;
    throw error;
  } finally {
    write.mockRestore();
  }
  throw new Error('the command line was accepted');
}

describe('the command line', () => {
  test('chooses workloads and contenders by name, in the order of the benchmark', () => {
    const names = chosen(['--shapes', '4096x512, 4x16x8x8', '--contenders', 'tfjs,syncbn']);
    expect(names).toEqual({ shapes: ['4x16x8x8', '4096x512'], contenders: ['syncbn', 'tfjs'] });
  });

  test('has PyTorch take part where a Python is named, and only there', () => {
    expect(chosen([]).contenders).not.toContain('pytorch-1');
    expect(chosen([], { TORCH_PYTHON: '/usr/bin/python3' }).contenders).toContain('pytorch-1');
    expect(refusal(['--contenders', 'pytorch-1'])).toContain('TORCH_PYTHON');
  });

  test('leaves the longest workloads to full runs, unless they are asked for', () => {
    expect(chosen([]).shapes).toContain('resnet50:8');
    expect(chosen(['--quick']).shapes).not.toContain('resnet50:8');
    expect(chosen(['--quick', '--shapes', 'resnet50:8']).shapes).toEqual(['resnet50:8']);
  });

  test.each([
    [['--shapes', '1x2x3'], 'got 1x2x3'],
    [['--shapes', ''], 'got none'],
    [['--contenders', 'syncbn,numpy'], 'got numpy'],
    [['--fast'], "unknown option '--fast'"],
    [['extra'], 'too many arguments'],
    [['--json'], 'argument missing'],
  ])('%j is refused', (parameters, text) => {
    expect(refusal(parameters)).toContain(text);
  });
});
