import { describe, expect, test, vi } from 'vitest';
import { CommanderError, type Options, readCommandLine } from './options.ts';

function read(line: string, environment: NodeJS.ProcessEnv = {}): Options {
  const task = readCommandLine(line.split(' '), environment);
  if (!('run' in task)) throw new Error(`${line} runs no suite`);
  return task.run;
}

const shapes = (line: string) => read(line).workloads.map(({ name }) => name);
const contenders = (line: string, environment?: NodeJS.ProcessEnv) =>
  read(line, environment).contenders.map(({ name }) => name);

describe('the command line', () => {
  test('chooses workloads and contenders by name, in the order of the benchmark', () => {
    const line = 'cpu --shapes 4096x512,4x16x8x8 --contenders tfjs,syncbn';
    expect(shapes(line)).toEqual(['4x16x8x8', '4096x512']);
    expect(contenders(line)).toEqual(['syncbn', 'tfjs']);
  });

  test('chooses contenders for each platform of WebGPU that takes part', () => {
    const both = ['node/syncbn', 'node/copy', 'chromium/syncbn', 'chromium/copy'];
    expect(contenders('gpu --contenders copy,syncbn')).toEqual(both);
    expect(contenders('gpu --contenders copy --platforms chromium')).toEqual(['chromium/copy']);
  });

  test.each(['cpu', 'parallel'])('%s has PyTorch take part where a Python is named, and only there', (suite) => {
    const pytorch = (environment?: NodeJS.ProcessEnv) =>
      contenders(suite, environment).filter((name) => name.startsWith('pytorch'));
    expect(pytorch()).toEqual([]);
    expect(pytorch({ TORCH_PYTHON: '/usr/bin/python3' })).toHaveLength(3);
  });

  test.each([
    ['cpu', 'resnet50:8'],
    ['parallel', 'resnet50:16'],
    ['gpu', 'resnet50:1'],
  ])('%s leaves %s to full runs, unless it is asked for', (suite, long) => {
    expect(shapes(suite)).toContain(long);
    expect(shapes(`${suite} --quick`)).not.toContain(long);
    expect(shapes(`${suite} --quick --shapes ${long}`)).toEqual([long]);
  });

  test.each([
    ['cpu --shapes 1x2x3', 'got 1x2x3'],
    ['cpu --shapes ', 'got none'],
    ['cpu --contenders syncbn,numpy', 'got numpy'],
    ['cpu --contenders pytorch-eager', 'TORCH_PYTHON'],
    ['cpu --launches 0', 'a whole number from 1'],
    ['cpu --fast', "unknown option '--fast'"],
    ['cpu extra', 'too many arguments'],
    ['cpu --json', 'argument missing'],
    ['gpu --platforms deno', 'got deno'],
    ['gpu --adapter fast', 'Allowed choices are auto, hardware, software'],
    ['gpu --against main', "unknown option '--against'"],
    ['tpu', "unknown command 'tpu'"],
  ])('%s is refused', (line, text) => {
    const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    try {
      expect(() => read(line)).toThrow(CommanderError);
      expect(() => read(line)).toThrow(text);
    } finally {
      write.mockRestore();
    }
  });
});
