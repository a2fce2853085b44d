/** Making elements of a page. */

type Attributes = Readonly<Record<string, string | number | boolean>>;
type Child = Node | string;

/** An element of HTML; an attribute that is `false` is left out. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  setAttributes(made, attributes);
  made.append(...children);
  return made;
}

/** An element of SVG. */
export function svgElement(tag: string, attributes: Attributes = {}, ...children: readonly Child[]): SVGElement {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  setAttributes(made, attributes);
  made.append(...children);
  return made;
}

/** A part of the page with a heading of its own. */
export function panel(name: string, title: string, ...children: readonly Child[]): HTMLElement {
  const heading = element('h2', { id: `${name}_heading` }, title);
  return element('section', { class: `panel ${name}`, 'aria-labelledby': heading.id }, heading, ...children);
}

function setAttributes(made: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) made.setAttribute(name, value === true ? '' : String(value));
  }
}
