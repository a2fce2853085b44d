import { expect, it } from 'vitest';
import { stripComments } from './strip_comments.mjs';

it('takes_comments_out_and_leaves_what_only_looks_like_one', () => {
  const code = [
    '/** Doc. */',
    'class A {',
    '  // One.',
    '  a = 1; // Two.',
    "  b = '// no comment';",
    '  c = `/* ${/* three */ 4} */ // none`;',
    '  d = /\\/\\*x/.source;',
    '}',
    '',
  ].join('\n');
  expect(stripComments(code)).toBe(
    [
      'class A {',
      '  a = 1; ',
      "  b = '// no comment';",
      '  c = `/* ${ 4} */ // none`;',
      '  d = /\\/\\*x/.source;',
      '}',
      '',
    ]
      .join('\n')
      .replace(/^/, '\n'),
  );
});

it('keeps_what_tools_read', () => {
  const code =
    '/*! name */\nconst a = /* @__PURE__ */ f(/*#__PURE__*/ g()), b = () => import(/* webpackIgnore: true */ /* @vite-ignore */ name);\n';
  expect(stripComments(code)).toBe(code);
});
