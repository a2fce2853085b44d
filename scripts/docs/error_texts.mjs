/**
 * Every error text of the library, read from its sources: what `new XyzError(…)` and the `super(…)` of an error class are given. What is filled
 * in when the error is made reads `…`.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import ts from 'typescript';
import { root } from '../tools.mjs';

/**
 * @typedef {object} ErrorText
 * @property {string} text - with `…` for what is filled in
 * @property {string} className - of the error
 * @property {string} file - where it is made, from the root
 */

/** Parts that run in workers: what they throw is told by the device, in an error that is listed. */
const own = ['ts/device/worker_executor.ts', 'ts/device/worker_exchange.ts', 'ts/device/worker_program.ts'];

/** @returns {ErrorText[]} sorted by class and text, each text once per class */
export function errorTexts() {
  const found = new Map();
  const fromFields = classesFromFields();
  for (const file of sourceFiles()) {
    const source = ts.createSourceFile(file, readFileSync(join(root, file), 'utf8'), ts.ScriptTarget.ES2022, true);
    visit(source, (className, argument) => {
      for (const text of textsOf(argument)) {
        const key = `${className.trim()}: ${text}`;
        // Where a class makes its text of fields, a short argument is a field; a whole sentence stands in the place of the text.
        const isField = fromFields.has(className) && !/[:;]/.test(text);
        if (/[a-z]{3}/i.test(text) && !isField && !found.has(key))
          found.set(key, { text, className: className.trim(), file });
      }
    });
  }
  return [...found.values()].sort(
    (a, b) => a.className.localeCompare(b.className, 'en') || a.text.localeCompare(b.text, 'en'),
  );
}

/** @returns {{ name: string, file: string }[]} the error classes that the entries of the package export */
export function errorClasses() {
  return sourceFiles().flatMap((file) => {
    const text = readFileSync(join(root, file), 'utf8');
    return [...text.matchAll(/^export class (\w+Error) /gm)].map(([, name]) => ({ name, file }));
  });
}

/** Names of the classes that have a constructor of their own. */
function classesFromFields() {
  const texts = sourceFiles().map((file) => readFileSync(join(root, file), 'utf8'));
  const classes = texts.flatMap((text) => [...text.matchAll(/^export class (\w+Error) [^]*?^}$/gm)]);
  return new Set(classes.filter(([body]) => body.includes('constructor(')).map(([, name]) => name));
}

function sourceFiles() {
  return readdirSync(join(root, 'ts'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && !/\.(test|d)\.ts$/.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath ?? entry.path, entry.name)).replaceAll('\\', '/'))
    .filter((file) => !file.includes('/generated/') && !own.includes(file))
    .sort();
}

function visit(node, report) {
  if (ts.isNewExpression(node) && ts.isIdentifier(node.expression) && node.expression.text.endsWith('Error')) {
    for (const argument of node.arguments ?? []) report(node.expression.text, argument);
  }
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.SuperKeyword) {
    const owner = ts.findAncestor(node, ts.isClassDeclaration);
    if (owner?.name?.text.endsWith('Error'))
      for (const argument of node.arguments) report(`${owner.name.text} `, argument);
  }
  ts.forEachChild(node, (child) => visit(child, report));
}

/** The texts that an expression may give: both branches of a condition, the parts of a sum end to end. */
function textsOf(node) {
  if (ts.isStringLiteralLike(node)) return [node.text];
  if (ts.isParenthesizedExpression(node)) return textsOf(node.expression);
  if (ts.isConditionalExpression(node)) return [...textsOf(node.whenTrue), ...textsOf(node.whenFalse)];
  if (ts.isTemplateExpression(node)) {
    return [node.head.text + node.templateSpans.map(({ literal }) => `…${literal.text}`).join('')];
  }
  if (!ts.isBinaryExpression(node)) return [];
  const [left, right] = [textsOf(node.left), textsOf(node.right)];
  switch (node.operatorToken.kind) {
    case ts.SyntaxKind.PlusToken:
      return (left.length > 0 ? left : ['…']).flatMap((a) => (right.length > 0 ? right : ['…']).map((b) => a + b));
    case ts.SyntaxKind.QuestionQuestionToken:
      return [...left, ...right];
    default:
      return [];
  }
}
