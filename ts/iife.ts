/** The main entry as a script of a page: one file, whose exports are the properties of the global `syncbn`. */

export * from './index.ts';
