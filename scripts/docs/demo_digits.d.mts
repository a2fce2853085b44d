/** See `demo_digits.mjs`. */
export declare function demoDigits(): { readonly shades: Uint8Array; readonly labels: Uint8Array };
