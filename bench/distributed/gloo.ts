/** The same collectives by PyTorch's gloo, where `TORCH_PYTHON` or `python3` has PyTorch. */

import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GATHER_BYTES, GATHERS, REDUCE_VALUES, REDUCTIONS, type Times } from './timing.ts';

const python = process.env['TORCH_PYTHON'] ?? 'python3';

/** @returns `null` where there is no PyTorch. @throws Error when PyTorch is there and fails. */
export function gloo(size: number): Times | null {
  if (spawnSync(python, ['-c', 'import torch']).status !== 0) return null;
  const store = join(tmpdir(), `syncbn-gloo-${process.pid}-${size}`);
  const settings = [size, GATHER_BYTES, GATHERS / 10, REDUCE_VALUES, REDUCTIONS].map(String);
  try {
    const { status, stdout, stderr } = spawnSync(python, ['bench/distributed/gloo.py', ...settings, store], {
      encoding: 'utf8',
      timeout: 300_000,
    });
    if (status !== 0) throw new Error(`gloo with ${size} ranks has failed: ${stderr}`);
    return JSON.parse(stdout) as Times;
  } finally {
    rmSync(store, { force: true });
  }
}
