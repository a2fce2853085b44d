/** Texts as PyTorch's `repr` prints them. */

import type { ModuleInterface } from './module_interface.ts';
import { childrenOf, walk } from './module_tree.ts';

/**
 * The name of a module's class. Classes of this library carry it as a static property, for minifiers rename classes; a
 * subclass written by a user does not inherit it.
 */
export function typeNameOf(module: ModuleInterface): string {
  const { constructor } = module;
  return Object.hasOwn(constructor, 'typeName')
    ? String((constructor as unknown as { readonly typeName: unknown }).typeName)
    : constructor.name;
}

/**
 * The module with its children, indented.
 * @throws CyclicModuleError
 */
export function formatModule(module: ModuleInterface): string {
  // A cycle would recurse for ever below; walking the tree finds it.
  walk(module, 'once');
  return format(module);
}

/** A float as Python prints it: `1e-05`, `0.1`, `1.0`; `null` is `None`. */
export function pythonFloat(value: number | null): string {
  if (value === null) {
    return 'None';
  }
  const magnitude = Math.abs(value);
  if (Number.isFinite(value) && magnitude !== 0 && (magnitude < 1e-4 || magnitude >= 1e16)) {
    return value.toExponential().replace(/e([+-])(\d)$/, 'e$10$2');
  }
  return Number.isInteger(value) ? value.toFixed(1) : String(value);
}

/** `True` or `False`. */
export function pythonBoolean(value: boolean): string {
  return value ? 'True' : 'False';
}

function format(module: ModuleInterface): string {
  const extra = module.extraRepr();
  const children = (module.mergesRepeats() ? mergedRepeats(module) : formattedChildren(module)).map(([name, text]) =>
    `(${name}): ${text}`.replaceAll('\n', '\n  '),
  );
  const lines = [...(extra === '' ? [] : extra.split('\n')), ...children];
  const isOneLine = lines.length === 0 || (lines.length === 1 && children.length === 0);
  const body = isOneLine ? lines.join('') : `\n  ${lines.join('\n  ')}\n`;
  return `${typeNameOf(module)}(${body})`;
}

type NamedText = readonly [name: string, text: string];

function formattedChildren(module: ModuleInterface): NamedText[] {
  return childrenOf(module).map(([name, child]) => [name, format(child)]);
}

/** Equal neighbours as one: `(0-2): 3 x BatchNorm1d(…)`. Source: `torch.nn.ModuleList.__repr__`. */
function mergedRepeats(module: ModuleInterface): NamedText[] {
  const runs: { readonly first: string; last: string; count: number; readonly text: string }[] = [];
  for (const [name, text] of formattedChildren(module)) {
    const run = runs.at(-1);
    if (run?.text === text) {
      run.last = name;
      run.count += 1;
    } else {
      runs.push({ first: name, last: name, count: 1, text });
    }
  }
  return runs.map(({ first, last, count, text }) =>
    count === 1 ? [first, text] : [`${first}-${last}`, `${count} x ${text}`],
  );
}
