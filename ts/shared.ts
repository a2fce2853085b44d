/**
 * What the entries beside the main one use of the library that users do not see. In the package it is a file of its own, so that a bundle has it once;
 * the sources of such an entry import the files themselves.
 */

export * from './check_options.ts';
export * from './describe_value.ts';
export * from './end_of_tick.ts';
export * from './load_once.ts';
export * from './platform_modules.ts';
export * from './typed_array.ts';
