/**
 * Writes the tables of `docs/distributed.md` that tell what exchanges cost: `npm run simulate:distributed`. Measures what a message costs on this
 * machine and simulates the rest; `-- --keep` takes what the page tells of that, and `-- --write` enters the tables into the page.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { measureMessages } from './measure_messages.ts';
import { costsIn, page, rounded, simulated, withSimulated } from './tables.ts';

const text = readFileSync(page, 'utf8');
const costs = process.argv.includes('--keep') ? costsIn(text) : rounded(await measureMessages());
console.log(simulated(costs));
if (process.argv.includes('--write')) writeFileSync(page, withSimulated(text, costs));
