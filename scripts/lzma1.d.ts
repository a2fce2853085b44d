/** What is used of the package `lzma1`. Its own types are its sources, which do not compile under this project's options. */

/** Compresses to an `.lzma` file. */
export declare function compress(data: Uint8Array, level: 1 | 5 | 9): Iterable<number>;
