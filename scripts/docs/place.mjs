/** Stands in the built pages for the folder that the site lies in, until `relocate.mjs` has replaced it. */
export const PLACE = '/__place_of_the_site__/';
