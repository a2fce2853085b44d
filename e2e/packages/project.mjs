/** The small projects of the matrix: each has the packed package, the tools of its row, and the program. */

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { softwareGpu } from '../../scripts/software_gpu.mjs';
import { root, toolEnvironment } from '../../scripts/tools.mjs';
import { NotHere } from './not_here.mjs';

/** What a command, or the start of a server, may take. */
const SECONDS = 240;

/** What quick rows find in their `node_modules`: packages of this repository, so that nothing is installed. */
const ofRepository = ['webgpu', 'vite', 'rollup', '@rollup', 'esbuild'];

const program = readFileSync(new URL('program.mjs', import.meta.url), 'utf8');

/** Packs the package once, and makes projects that have it. */
export class Projects {
  constructor() {
    // The real path: some tools follow links, and would then look for packages elsewhere.
    this.folder = mkdtempSync(join(realpathSync(tmpdir()), 'syncbn-matrix-'));
    const packed = run(root, 'npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', this.folder]);
    const [{ filename }] = Object.values(JSON.parse(packed));
    this.tarball = join(this.folder, filename);
    /** Folders in which tools were installed, by what was wanted, or why they could not be. */
    this.installed = new Map();
    this.made = 0;
  }

  /**
   * A new project.
   * @param {import('./rows/all.mjs').Row} row
   * @param {string[]} kinds - of devices that its program tries
   */
  create({ name, tools = {}, files }, kinds) {
    const folder = join(this.folder, `${(this.made += 1)}_${name.replaceAll(/\W+/g, '_')}`);
    const write = (path, text) => {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    };
    write('package.json', JSON.stringify({ private: true, type: 'module', dependencies: {} }));
    const wanted = Object.entries(tools).map(([tool, version]) => `${tool}@${version}`);
    if (wanted.length > 0) this.#install(folder, wanted);
    else linkRepository(folder);
    const installed = join(folder, 'node_modules', 'syncbn');
    mkdirSync(installed, { recursive: true });
    run(folder, 'tar', ['-xzf', this.tarball, '-C', installed, '--strip-components=1']);
    write('program.mjs', `${program}\nexport const sums = (syncbn) => sumsOf(syncbn, ${JSON.stringify(kinds)});\n`);
    for (const [path, text] of Object.entries(files)) write(path, text);
    return {
      folder,
      run: (command, ...parameters) => run(folder, command, parameters),
      serve: (command, ...parameters) => serve(folder, command, parameters),
      remove: () => run(this.folder, 'rm', ['-rf', folder]),
      versionOf: (tool) => JSON.parse(readFileSync(join(folder, 'node_modules', tool, 'package.json'), 'utf8')).version,
    };
  }

  remove() {
    // Thousands of files: `rmSync` takes minutes.
    run(tmpdir(), 'rm', ['-rf', this.folder]);
  }

  /** Rows with the same tools share the files of one installation. */
  #install(folder, wanted) {
    const key = wanted.join(' ');
    if (!this.installed.has(key)) {
      const place = join(this.folder, `tools_${this.installed.size}`);
      mkdirSync(place);
      writeFileSync(join(place, 'package.json'), JSON.stringify({ private: true }));
      let reason = null;
      try {
        run(place, 'npm', ['install', '--no-audit', '--no-fund', '--silent', ...wanted]);
      } catch (error) {
        reason = error.message;
      }
      this.installed.set(key, { place, reason });
    }
    const { place, reason } = this.installed.get(key);
    if (reason !== null) throw new NotHere(`npm does not install ${key} here: ${reason}`);
    // As links: copies of some tools take longer than their row.
    run(folder, 'cp', ['-al', join(place, 'node_modules'), folder]);
  }
}

function linkRepository(folder) {
  mkdirSync(join(folder, 'node_modules'), { recursive: true });
  for (const tool of ofRepository) {
    const target = join(root, 'node_modules', tool);
    if (existsSync(target)) symlinkSync(target, join(folder, 'node_modules', tool));
  }
}

/** Tools are told that nobody watches, and that they are not to tell anybody of the run. */
function environment() {
  return { ...toolEnvironment(), ...softwareGpu(), NEXT_TELEMETRY_DISABLED: '1', CI: '1', NO_COLOR: '1' };
}

/**
 * @returns {string} what the command has printed
 * @throws {Error} with all its output when it fails
 */
function run(cwd, command, parameters) {
  const options = { cwd, env: environment(), encoding: 'utf8', timeout: 1000 * SECONDS, maxBuffer: 2 ** 26 };
  const { status, stdout, stderr, error } = spawnSync(command, parameters, options);
  if (status !== 0) throw new Error(told(command, parameters, [error?.message, stdout, stderr]));
  return stdout.trim();
}

/**
 * Starts a server that goes on until it is stopped.
 * @param {string[]} parameters - `PORT` in them stands for a free port
 * @returns {Promise<{ address: string, stop: () => Promise<void> }>} once it answers
 */
async function serve(cwd, command, parameters) {
  const port = await freePort();
  const given = parameters.map((each) => each.replace('PORT', String(port)));
  // In a group of its own: servers start further processes, and npm's do not end them.
  const child = spawn(command, given, {
    cwd,
    env: { ...environment(), CI: '' },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = [];
  child.stdout.on('data', (text) => output.push(text));
  child.stderr.on('data', (text) => output.push(text));
  const ended = new Promise((resolve) => child.on('close', resolve));
  let isOver = false;
  void ended.then(() => (isOver = true));
  const stop = async () => {
    if (!isOver) process.kill(-child.pid, 'SIGKILL');
    await ended;
  };
  const address = `http://localhost:${port}`;
  for (const end = Date.now() + 1000 * SECONDS; ;) {
    if (isOver || Date.now() > end) {
      await stop();
      throw new Error(told(command, given, ['does not answer', output.join('')]));
    }
    try {
      await (await fetch(address)).text();
      return { address, stop };
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

/** @returns {Promise<number>} */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function told(command, parameters, texts) {
  const output = texts.filter(Boolean).join('\n').trim().split('\n').slice(-16).join('\n');
  return `${command} ${parameters.join(' ')}: ${output}`;
}
