/** Programs and pages of the rows. */

/** The kinds of device of a program without a page. */
export const inNode = ['cpu', 'worker'];

/** And those of a page. */
export const ofPage = ['cpu', 'worker', 'webgpu'];

/** A program's beginning: `main()` gives the sums. */
export const program = (load = "import * as syncbn from 'syncbn';") => `${load}
import { sums } from './program.mjs';
const main = () => sums(syncbn);
`;

/** Programs that print the sums. */
export const programs = {
  'main.mjs': `${program()}main().then(console.log);\n`,
  'main.cjs': `const syncbn = require('syncbn');
import('./program.mjs').then(({ sums }) => sums(syncbn)).then(console.log);
`,
};

/** A page shows the sums in its title; an error as well. */
const show = 'main().catch(String).then((text) => { document.title = text; });\n';

/** A page without a title, until its script has one. */
export const html = (script) =>
  `<!doctype html><meta charset="utf-8"><title></title><link rel="icon" href="data:,">${script}`;

/** A page whose script stands in it. */
export const pageWith = (before, load) => ({
  'index.html': html(`${before}<script type="module">${program(load)}${show}</script>`),
});

/** A page whose script is a file. */
export const page = {
  'index.html': html('<script type="module" src="./app.js"></script>'),
  'app.js': program() + show,
};

/** A page that runs the program in a worker of its own, as each bundler of today finds it. */
export const workerPage = {
  'index.html': page['index.html'],
  'app.js': `const worker = new Worker(new URL('./app_worker.js', import.meta.url), { type: 'module' });
worker.onmessage = ({ data }) => { document.title = data; };
worker.onerror = ({ message }) => { document.title = 'the worker: ' + message; };\n`,
  'app_worker.js': `${program()}main().catch(String).then((text) => postMessage(text));\n`,
};
