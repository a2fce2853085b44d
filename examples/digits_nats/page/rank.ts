/** The page's rank, in a worker: the page stays quick, and timers of a hidden page are not slowed down here. */

import type { Samples } from '../../digits/samples.ts';
import { type RankNews, type RankPlace, runRank } from '../run_rank.ts';

/** What the page is told. */
export type WorkerNews =
  /** Which rank it has; `null`: there is none left. */
  { readonly place: RankPlace | null } | RankNews | { readonly error: string };

const tell = (news: WorkerNews): void => postMessage(news);

try {
  const place = (await (await fetch('place')).json()) as RankPlace | null;
  tell({ place });
  if (place !== null) await runRank(place, await load(), browserName(), tell);
} catch (error) {
  tell({ error: String(error) });
}

async function load(): Promise<Samples> {
  const bytesOf = async (name: string): Promise<ArrayBuffer> => (await fetch(name)).arrayBuffer();
  const [images, labels] = await Promise.all([bytesOf('images'), bytesOf('labels')]);
  return { images: new Float32Array(images), labels: new Uint8Array(labels) };
}

function browserName(): string {
  const [name = 'a browser'] = /(Firefox|Edg|Chrom\w+|Safari)\/\d+/.exec(navigator.userAgent) ?? [];
  return name.replace('Edg/', 'Edge ').replace('/', ' ').replace('HeadlessChrome', 'Chrome');
}
