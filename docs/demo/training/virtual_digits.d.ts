/** What `scripts/docs/demo_digits.mjs` gives the bundle of the page. */
declare module 'virtual:demo_digits' {
  /** Images. */
  export const count: number;
  /** Labels and pixels, deflated, in Base64. */
  export const digits: string;
}
