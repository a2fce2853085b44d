/** Takes comments out of a bundle. */

import ts from 'typescript';

/** Comments that bundlers read, what has no effect and what they must not look for, and the one that names the licence. */
const kept = /^\/\*(?:!|\s*(?:[@#]__PURE__|@vite-ignore|webpackIgnore: true)\s*\*\/)/;

/**
 * The program without its comments, but for those that mean something to tools.
 * @param {string} code - JavaScript
 * @returns {string} with the same lines of code
 */
export function stripComments(code) {
  const source = ts.createSourceFile('bundle.js', code, ts.ScriptTarget.ES2022, true, ts.ScriptKind.JS);
  const comments = new Map();
  const note = (ranges) => ranges?.forEach(({ pos, end }) => comments.set(pos, end));
  const visit = (node) => {
    const children = node.getChildren(source);
    // Comments stand before tokens, which have no children, and behind them on the same line.
    if (children.length === 0) {
      note(ts.getLeadingCommentRanges(code, node.getFullStart()));
      note(ts.getTrailingCommentRanges(code, node.getEnd()));
    }
    children.filter((child) => !isJSDoc(child)).forEach(visit);
  };
  visit(source);
  let stripped = '';
  let end = 0;
  for (const [from, to] of [...comments].sort(([a], [b]) => a - b)) {
    if (kept.test(code.slice(from, to))) continue;
    stripped += code.slice(end, from);
    end = to;
  }
  // Lines that held nothing but a comment are gone; others keep their place.
  return (stripped + code.slice(end)).replaceAll(/^[ \t]+$/gm, '').replaceAll(/\n{2,}/g, '\n');
}

/** What TypeScript has read in a comment is no part of the program. */
function isJSDoc({ kind }) {
  return kind >= ts.SyntaxKind.FirstJSDocNode && kind <= ts.SyntaxKind.LastJSDocNode;
}
