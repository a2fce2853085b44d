/** How the report looks, on light and on dark screens. */

/** Of charts, by colours that the page or picture around them sets. */
export const LINES = `svg text { fill: var(--faint); font-size: 12px; }
.grid { stroke: var(--rule); }
.line { fill: none; stroke-linejoin: round; }
.line-0 { stroke: var(--line-0); stroke-width: 6; }
.line-1 { stroke: var(--line-1); stroke-width: 2; }
.line-2 { stroke: var(--line-2); stroke-width: 2.2; stroke-dasharray: 9 5; }
.line-3 { stroke: var(--line-3); stroke-width: 2; stroke-dasharray: 2 5; stroke-linecap: round; }
.mark-0 { fill: var(--line-0); } .mark-1 { fill: var(--line-1); } .mark-2 { fill: var(--line-2); } .mark-3 { fill: var(--line-3); }
.mark { stroke: transparent; stroke-width: 10; }
`;

/**
 * Colours of Okabe and Ito, which stay apart for colour-blind readers. Runs that should coincide lie on top of each other, so
 * the first line is broad and the later ones are thinner and dashed: all of them can be seen.
 */
export const STYLE = `
:root {
  color-scheme: light dark;
  --page: #ffffff; --panel: #f6f7f9; --text: #1d2430; --faint: #5b6675; --rule: #dde2e9;
  --line-0: #8ecdf2; --line-1: #d55e00; --line-2: #00755a; --line-3: #8a2f78;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14181f; --panel: #1c222b; --text: #e7ebf1; --faint: #9ba7b6; --rule: #323b48;
    --line-0: #2f7fb5; --line-1: #ff8c3f; --line-2: #3fdcae; --line-3: #f09ad9;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 2rem 1.25rem 3rem; background: var(--page); color: var(--text);
  font: 16px/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.05rem; margin: 0 0 .25rem; }
p { margin: 0 0 1rem; max-width: 46rem; }
.faint { color: var(--faint); font-size: .875rem; }
.scroll { overflow-x: auto; margin: 0 0 .5rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .45rem .75rem; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th { font-weight: 600; font-size: .8125rem; color: var(--faint); vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
.key { display: inline-block; width: 1.75rem; height: .75rem; margin-right: .6rem; vertical-align: middle; }
.charts { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)); margin: 1.5rem 0; }

figure { margin: 0; padding: 1rem; background: var(--panel); border-radius: .6rem; }
main > figure { margin-bottom: 1rem; }
figcaption { margin-bottom: .5rem; }
figure > svg { display: block; width: 100%; height: auto; }
.digits { display: grid; grid-template-columns: repeat(auto-fill, minmax(6.5rem, 1fr)); gap: .75rem; list-style: none; margin: 0; padding: 0; }
.digits li { text-align: center; font-size: .8125rem; color: var(--faint); }
.digit { display: block; width: 4.5rem; margin: 0 auto .2rem; fill: var(--text); }
${LINES}dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .2rem 1.25rem; margin: 0; }
pre { margin: 0; overflow-x: auto; font-size: .8125rem; color: var(--faint); }
dt { color: var(--faint); } dd { margin: 0; } dd span { white-space: nowrap; }
@media (max-width: 30rem) { body { padding: 1.25rem .75rem 2rem; } figure { padding: .75rem; } h1 { font-size: 1.3rem; } svg text { font-size: 14px; } }
`;
