/** Images that the networks get wrong. */

import { CLASS_COLOURS } from '../../../examples/segmentation/class_colours.ts';
import { CLASS_NAMES } from '../../../examples/segmentation/shapes.ts';
import type { Picture, PictureRow, TaskName } from '../protocol.ts';
import { element, panel } from './element.ts';

export class Pictures {
  readonly element: HTMLElement;
  readonly #rows = element('div', { class: 'rows' });
  readonly #legend = element('p', { class: 'note' });

  constructor() {
    this.element = panel('pictures', 'What they get wrong', this.#legend, this.#rows);
  }

  clear(task: TaskName): void {
    this.#rows.replaceChildren(element('p', { class: 'now' }, 'Nothing yet.'));
    this.#legend.replaceChildren(
      ...(task === 'digits'
        ? ['The first of the test images that a network tells wrong: what each is, and as what it was read.']
        : swatches()),
    );
  }

  show(rows: readonly PictureRow[]): void {
    this.#rows.replaceChildren(
      ...rows.map(({ title, pictures }) => {
        const images = pictures.map((picture) =>
          element('li', {}, draw(picture), element('span', {}, picture.caption)),
        );
        return element('div', { class: 'row' }, element('h3', {}, title), element('ul', {}, ...images));
      }),
    );
  }
}

/** The caption beside it says what it shows. */
function draw({ kind, size, pixels }: Picture): HTMLCanvasElement {
  const canvas = element('canvas', { class: kind, width: size, height: size, 'aria-hidden': 'true' });
  const image = new ImageData(size, size);
  pixels.forEach((value, i) => {
    const brightness = Math.min(255, Math.max(0, 255 * (kind === 'ink' ? 1 - value : value)));
    const grey = [brightness, brightness, brightness] as const;
    image.data.set([...(kind === 'mask' ? (CLASS_COLOURS[value] ?? grey) : grey), 255], 4 * i);
  });
  canvas.getContext('2d')?.putImageData(image, 0, 0);
  return canvas;
}

function swatches(): HTMLElement[] {
  return CLASS_NAMES.map((name, i) => {
    const colour = `rgb(${(CLASS_COLOURS[i] ?? CLASS_COLOURS[0]).join(' ')})`;
    return element('span', { class: 'swatch' }, element('i', { style: `background: ${colour}` }), name);
  });
}
