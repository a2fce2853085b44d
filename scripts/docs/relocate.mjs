/**
 * Makes a built site work in whichever folder it is served from. VitePress writes the folder into pages and scripts as an absolute path.
 * Here each page gets relative addresses instead, and finds out for its scripts where it is.
 */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { PLACE } from './place.mjs';

/** What scripts find the folder by; in brackets, since it may follow a `return` without a space. */
const variable = '(globalThis.__placeOfTheSite)';

/**
 * @param {string} site - folder of the built site; its files are changed
 */
export function relocate(site) {
  for (const entry of readdirSync(site, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const folder = entry.parentPath ?? entry.path;
    const file = join(folder, entry.name);
    const up =
      relative(folder, site)
        .split(sep)
        .filter(Boolean)
        .map(() => '../')
        .join('') || './';
    if (entry.name.endsWith('.html')) rewrite(file, (text) => page(text, up));
    if (entry.name.endsWith('.js')) rewrite(file, script);
    if (entry.name.endsWith('.css')) rewrite(file, (text) => text.replaceAll(PLACE, up));
  }
}

function rewrite(file, change) {
  const before = readFileSync(file, 'utf8');
  const after = change(before);
  if (after !== before) writeFileSync(file, after);
  if (after.includes(PLACE)) throw new Error(`${file}: the place of the site is written in a way that is not known`);
}

function page(text, up) {
  const find = `<script>globalThis.__placeOfTheSite=new URL(${JSON.stringify(up)},location.href).pathname</script>`;
  return (
    text
      // Data of the site, as JSON in a text of a script.
      .replaceAll(`\\"${PLACE}\\"`, `\\"/\\"`)
      .replace(
        /(window\.__VP_SITE_DATA__=JSON\.parse\((?:"(?:[^"\\]|\\.)*")\);)/,
        `$1window.__VP_SITE_DATA__.base=${variable};`,
      )
      .replaceAll(PLACE, up)
      // The switch between light and dark gets its name by a script, which on long pages takes a while.
      .replaceAll(/(<button class="VPSwitch VPSwitchAppearance"[^>]*?) title(?=[ >])/g, '$1 title="Switch the theme"')
      // The layout of the first page has no main landmark.
      .replace(/(<div class="VPContent is-home")/, '$1 role="main"')
      .replace('<head>', `<head>${find}`)
  );
}

/** In texts of every kind of quotes. */
function script(text) {
  // The index of the search is JSON in a text between single quotes.
  if (text.includes('{"documentCount"')) return text.replaceAll(`"${PLACE}`, `"'+${variable}+'`);
  const place = PLACE.replaceAll('/', '\\/');
  return (
    text
      .replace(new RegExp(`"${place}"`, 'g'), variable)
      .replace(new RegExp(`"${place}([^"\\n]*)"`, 'g'), `(${variable}+"$1")`)
      .replace(new RegExp(`'${place}([^'\\n]*)'`, 'g'), `(${variable}+'$1')`)
      .replace(new RegExp(`\`${place}`, 'g'), `\`\${${variable}}`)
      // Addresses in markup that a script holds as a text.
      .replaceAll(`\\"${PLACE}`, `\\""+${variable}+"`)
      .replace(new RegExp(`(href|src)="${place}`, 'g'), `$1="'+${variable}+'`)
  );
}
