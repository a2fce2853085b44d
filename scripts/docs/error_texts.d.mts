/** See `error_texts.mjs`. */
export interface ErrorText {
  readonly text: string;
  readonly className: string;
  readonly file: string;
}
export declare function errorTexts(): ErrorText[];
export declare function errorClasses(): { readonly name: string; readonly file: string }[];
