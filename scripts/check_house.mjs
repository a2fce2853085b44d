/** Holds every file that git tracks, or would, against `house_rules.mjs`. */

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { complaintsAbout } from './house_rules.mjs';
import { root } from './tools.mjs';

const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], {
  cwd: root,
  encoding: 'utf8',
});
// A file may be in the index and no longer in the tree.
const paths = listed.split('\0').filter((path) => path !== '' && existsSync(join(root, path)));
const complaints = paths.flatMap((path) =>
  complaintsAbout(path, readFileSync(join(root, path), 'utf8')).map((complaint) => `${path} ${complaint}`),
);
for (const complaint of complaints) console.error(complaint);
console.log(`house: ${paths.length} files, ${complaints.length} complaints`);
process.exitCode = complaints.length > 0 ? 1 : 0;
