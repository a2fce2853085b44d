/** What reports are made of: one HTML file without scripts that needs nothing from elsewhere. */

import { escapeHtml } from './escape.ts';
import { STYLE } from './style.ts';

/** A whole page. `body` and `style` are HTML and CSS, the title is text. */
export function htmlDocument({
  title,
  style = '',
  body,
}: {
  readonly title: string;
  readonly style?: string;
  readonly body: string;
}): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${STYLE}${style}</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`;
}

/** A picture, chart or list with its heading. The note stands below the heading; both it and the content are HTML. */
export function figure(title: string, note: string, content: string): string {
  const faint = note === '' ? '' : `<span class="faint">${note}</span>`;
  return `<figure><figcaption><h2>${escapeHtml(title)}</h2>${faint}</figcaption>\n${content}</figure>`;
}

/**
 * A table of runs in a box that scrolls where the page is narrow.
 * @param columns - heads, the first one that of the runs' names.
 * @param rows - cells; the row with number i has the key of `line-i`, the style of its run in every chart.
 */
export function runTable(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const head = columns.map((column) => `<th scope="col">${escapeHtml(column)}</th>`).join('');
  const body = rows.map(([label = '', ...cells], i) => {
    const key = `<svg class="key" viewBox="0 0 28 12" aria-hidden="true"><line class="line line-${i}" x1="1" x2="27" y1="6" y2="6"/></svg>`;
    return `<tr><td>${key}${escapeHtml(label)}</td>${cells.map((cell) => `<td>${escapeHtml(cell)}</td>`).join('')}</tr>`;
  });
  const table = `<table><thead><tr>${head}</tr></thead><tbody>\n${body.join('\n')}\n</tbody></table>`;
  return `<div class="scroll" tabindex="0" role="region" aria-label="Results">${table}</div>`;
}
