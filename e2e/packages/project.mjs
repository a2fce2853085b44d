/** The small projects of the matrix: each has the packed package, the tools of its row, and the program. */

import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { root, toolEnvironment } from '../../scripts/tools.mjs';

/** What a command may take. */
const SECONDS = 180;

/** Packs the package once, and makes projects that have it. */
export class Projects {
  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), 'syncbn-matrix-'));
    const packed = run(root, 'npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', this.folder]);
    const [{ filename }] = Object.values(JSON.parse(packed));
    this.tarball = join(this.folder, filename);
  }

  /**
   * A new project.
   * @param {string} name - of its row
   * @param {Record<string, string>} tools - packages by name, installed by npm; none: those of this repository are linked
   * @param {Record<string, string>} files - by path; the program is there already
   */
  create(name, tools, files) {
    const folder = join(this.folder, name.replaceAll(/\W+/g, '_'));
    const installed = join(folder, 'node_modules', 'syncbn');
    const write = (path, text) => {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    };
    write('package.json', JSON.stringify({ private: true, type: 'module', dependencies: {} }));
    if (Object.keys(tools).length > 0) {
      const wanted = Object.entries(tools).map(([tool, version]) => `${tool}@${version}`);
      run(folder, 'npm', ['install', '--no-audit', '--no-fund', '--silent', ...wanted]);
    } else {
      // What the repository has, so that nothing is installed.
      mkdirSync(join(folder, 'node_modules'), { recursive: true });
      for (const tool of ['webgpu', 'vite', 'rollup', 'esbuild', '@rollup']) {
        const target = join(root, 'node_modules', tool);
        if (existsSync(target)) symlinkSync(target, join(folder, 'node_modules', tool));
      }
    }
    mkdirSync(installed, { recursive: true });
    run(folder, 'tar', ['-xzf', this.tarball, '-C', installed, '--strip-components=1']);
    cpSync(new URL('program.mjs', import.meta.url), join(folder, 'program.mjs'));
    for (const [path, text] of Object.entries(files)) write(path, text);
    return { folder, run: (command, ...parameters) => run(folder, command, parameters) };
  }

  remove() {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/**
 * @returns {string} what the command has printed
 * @throws {Error} with all its output when it fails
 */
function run(cwd, command, parameters) {
  const env = { ...toolEnvironment(), NEXT_TELEMETRY_DISABLED: '1', CI: '1' };
  const options = { cwd, env, encoding: 'utf8', timeout: 1000 * SECONDS, maxBuffer: 2 ** 26 };
  const { status, stdout, stderr, error } = spawnSync(command, parameters, options);
  if (status !== 0) {
    const output = [error?.message, stdout, stderr].filter(Boolean).join('\n').trim().split('\n').slice(-12).join('\n');
    throw new Error(`${command} ${parameters.join(' ')}: ${output}`);
  }
  return stdout.trim();
}
