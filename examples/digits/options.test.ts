import { CommanderError } from 'commander';
import { describe, expect, it } from 'vitest';
import { type Options, parseOptions } from './options.ts';

describe('the command line', () => {
  it('defaults_to_16_samples_on_8_devices', () => {
    expect(parseOptions([])).toEqual({
      device: 'cpu',
      devices: 8,
      batch: 16,
      steps: 300,
      seed: 1,
      quick: false,
      report: 'reports/digits.html',
      picture: null,
    } satisfies Options);
  });

  it('takes_every_option', () => {
    const args =
      '--device worker --devices 4 --batch 12 --steps 7 --seed 0 --quick --report out.html --picture out.svg';
    expect(parseOptions(args.split(' '))).toEqual({
      device: 'worker',
      devices: 4,
      batch: 12,
      steps: 7,
      seed: 0,
      quick: true,
      report: 'out.html',
      picture: 'out.svg',
    } satisfies Options);
  });

  it.each(['cpu', 'worker', 'webgpu'])('takes_the_kind_%s_of_devices', (kind) => {
    expect(parseOptions(['--device', kind]).device).toBe(kind);
  });

  it('makes_a_quick_run_short', () => {
    expect(parseOptions(['--quick']).steps).toBeLessThan(parseOptions([]).steps);
  });

  it.each([
    ['--devices 2 --batch 4', 'the fewest'],
    ['--devices 32 --batch 64', 'the most'],
  ])('accepts %s: %s', (args) => {
    expect(() => parseOptions(args.split(' '))).not.toThrow();
  });

  it.each([
    ['--devices 1', 'expected an integer from 2 to 32'],
    ['--device tpu', 'Allowed choices are cpu, worker, webgpu'],
    ['--devices 33', 'expected an integer from 2 to 32'],
    ['--devices eight', 'expected an integer from 2 to 32'],
    ['--batch 65', 'expected an integer from 4 to 64'],
    ['--batch 1.5', 'expected an integer from 4 to 64'],
    ['--steps 0', 'expected an integer from 1 to 100000'],
    ['--steps 1e3', 'expected an integer from 1 to 100000'],
    ['--seed -1', 'expected an integer from 0 to 4294967295'],
    ['--batch 12', '--batch 12 with --devices 8: expected a multiple of the number of devices'],
    ['--batch 8', 'at least 2 samples, such as 16'],
    ['--devices 3', 'such as 15'],
    ['--epochs 3', "unknown option '--epochs'"],
    ['--steps', "option '--steps <n>' argument missing"],
    ['extra', 'too many arguments'],
  ])('refuses %s', (args, text) => {
    const { exitCode, errors } = refused(args.split(' '));
    expect(exitCode).toBe(2);
    expect(errors).toContain(text);
  });

  it('prints_its_help_and_succeeds', () => {
    const { exitCode, output } = refused(['--help']);
    expect(exitCode).toBe(0);
    for (const option of ['--devices', '--batch', '--steps', '--seed', '--quick', '--report']) {
      expect(output).toContain(option);
    }
  });
});

/** What the parser writes, and the exit code it asks for, where it gives no options. */
function refused(args: readonly string[]): { exitCode: number; output: string; errors: string } {
  let output = '';
  let errors = '';
  try {
    const options = parseOptions(args, { write: (text) => (output += text), writeError: (text) => (errors += text) });
    throw new Error(`expected no options, got ${JSON.stringify(options)}`);
  } catch (error) {
    if (error instanceof CommanderError) {
      return { exitCode: error.exitCode, output, errors };
    }
    throw error;
  }
}
