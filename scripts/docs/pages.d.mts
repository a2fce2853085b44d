/** See `pages.mjs`. */
export declare function buildPages(site: string, onlyPage?: string | null): void;
