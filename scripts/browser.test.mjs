import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findBrowser, launchOptions } from './browser.mjs';

let folder;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'syncbn-browser-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** A program that prints a line, and exits with a status. */
function program(path, line, status = 0) {
  mkdirSync(join(folder, path, '..'), { recursive: true });
  writeFileSync(join(folder, path), `#!/bin/sh\necho '${line}'\nexit ${status}\n`, { mode: 0o755 });
  return join(folder, path);
}

const pathOf = (...names) => names.map((name) => join(folder, name)).join(delimiter);

describe('findBrowser', () => {
  it('takes_the_one_that_CHROME_PATH_names_before_those_on_PATH', () => {
    program('bin/chromium', 'Chromium 1.2.3');
    const named = program('mine', 'Google Chrome 4.5.6.7');
    expect(findBrowser({ CHROME_PATH: named, PATH: pathOf('bin') })).toEqual({ path: named, version: '4.5.6' });
  });

  it('takes_no_other_than_the_one_that_CHROME_PATH_names', () => {
    program('bin/chromium', 'Chromium 1.2.3');
    expect(findBrowser({ CHROME_PATH: pathOf('absent'), PATH: pathOf('bin') })).toBeNull();
  });

  it('takes_the_first_on_PATH_that_runs', () => {
    program('first/chromium', 'install it as a snap', 1);
    const second = program('second/chromium', 'Chromium 1.2.3');
    expect(findBrowser({ PATH: pathOf('first', 'second') })).toEqual({ path: second, version: '1.2.3' });
  });
});

describe('launchOptions', () => {
  it('name_the_browser_that_was_found', () => {
    const path = program('bin/google-chrome', 'Google Chrome 4.5.6.7');
    expect(launchOptions({ PATH: pathOf('bin') }).executablePath).toBe(path);
  });

  it('name_what_CHROME_PATH_names_even_where_it_does_not_run', () => {
    expect(launchOptions({ CHROME_PATH: '/absent', PATH: '' }).executablePath).toBe('/absent');
  });
});
