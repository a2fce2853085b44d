/** See `serve.mjs`. */
export declare function serveSite(site: string): Promise<{ readonly base: string; readonly close: () => void }>;
