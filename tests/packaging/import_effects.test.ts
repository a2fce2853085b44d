/** Importing the package does nothing but define it. */

import { parseAst } from 'rollup/parseAst';
import { describe, expect, it } from 'vitest';
import { readInstalled, runInUserProject } from './user_project.ts';

/** Loads the package between two looks at the world. `LOAD` is an expression that gives a promise or the exports. */
const program = `
const looks = () => ({
  globals: Reflect.ownKeys(globalThis).map(String).sort(),
  symbol: Reflect.ownKeys(Symbol).map(String).sort(),
  resources: process.getActiveResourcesInfo().filter((name) => name === 'Timeout' || name === 'Immediate' || name === 'MessagePort'),
  listeners: process.eventNames().map(String).sort(),
});
let compiled = 0;
for (const name of ['compile', 'instantiate', 'compileStreaming', 'instantiateStreaming', 'Module', 'Instance', 'Memory']) {
  WebAssembly[name] = new Proxy(WebAssembly[name], {
    apply: (target, self, parameters) => { compiled += 1; return Reflect.apply(target, self, parameters); },
    construct: (target, parameters) => { compiled += 1; return Reflect.construct(target, parameters); },
  });
}
const main = async () => {
  // The first import of anything makes Node itself allocate.
  await import('node:fs');
  const before = looks();
  const exported = await (LOAD);
  const after = looks();
  const used = compiled;
  await exported.init();
  console.log(JSON.stringify({ before, after, used, usedByInit: compiled - used }));
};
main();
`;

interface Looks {
  readonly before: unknown;
  readonly after: unknown;
  readonly used: number;
  readonly usedByInit: number;
}

describe.each([
  { kind: 'import', file: 'effects.mjs', load: "import('syncbn')" },
  { kind: 'require', file: 'effects.cjs', load: "require('syncbn')" },
])('$kind of the package', ({ file, load }) => {
  it('leaves_the_world_as_it_was_and_compiles_nothing', () => {
    const looks = runInUserProject(file, program.replace('LOAD', load)) as Looks;
    expect(looks.after).toEqual(looks.before);
    expect(looks.used).toBe(0);
    // The control: the count does see a compilation.
    expect(looks.usedByInit).toBeGreaterThan(0);
  });
});

const files = [
  'index',
  'library',
  'main',
  'slim',
  'synchronized_batch_norm_ranks',
  'webgpu_device',
  'worker_device',
].flatMap((name) => [`dist/${name}.js`, `dist/${name}.cjs`]);

describe.each(files)('%s', (path) => {
  it('has_no_import_meta_no_top_level_await_and_imports_nothing_but_the_package', () => {
    expect(findings(parseAst(readInstalled(path)))).toEqual([]);
  });
});

it.each([
  ['import.meta', 'const here = import.meta.url;'],
  ['a top-level await', 'if (true) { await 1; }'],
  ['a top-level await', 'for await (const x of []) {}'],
  ['an import', "import fs from 'fs';"],
  ['an import', "const own = import('./worker_device.js');"],
  ['an import', "const later = () => import('fs');"],
])('the_search_finds_%s', (finding, code) => {
  expect(findings(parseAst(code))).toContain(finding);
});

/** What a node of the syntax tree has in common with all others. */
interface SyntaxNode {
  readonly type: string;
}

function findings(node: SyntaxNode, insideFunction = false): string[] {
  const inside = insideFunction || node.type.includes('Function');
  const found = finding(node, inside);
  const children = Object.values(node).flat().filter(isNode);
  return [...(found === null ? [] : [found]), ...children.flatMap((child) => findings(child, inside))];
}

function finding(node: SyntaxNode, insideFunction: boolean): string | null {
  switch (node.type) {
    case 'MetaProperty':
      // The other meta property is `new.target`, which is harmless.
      return 'meta' in node && isNode(node.meta) && 'name' in node.meta && node.meta.name === 'import'
        ? 'import.meta'
        : null;
    case 'AwaitExpression':
      return insideFunction ? null : 'a top-level await';
    case 'ForOfStatement':
      return !insideFunction && 'await' in node && node.await === true ? 'a top-level await' : null;
    case 'ImportDeclaration':
      return 'source' in node && isHarmless(node.source) ? null : 'an import';
    case 'ImportExpression':
      return insideFunction && 'source' in node && isHarmless(node.source) ? null : 'an import';
    default:
      return null;
  }
}

/** What a function may import when it is called: a file of the package, or what only the platform knows, by a variable. */
function isHarmless(source: unknown): boolean {
  if (!isNode(source)) return false;
  return source.type === 'Identifier' || ('value' in source && String(source.value).startsWith('./'));
}

function isNode(value: unknown): value is SyntaxNode {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string';
}
