/** See `matrix.mjs`. */
export interface RowResult {
  readonly name: string;
  readonly sums: string | null;
  readonly error: string | null;
}
type Wanted = (row: { readonly name: string; readonly quick: boolean }) => boolean;
export declare const expected: string;
export declare function rowNames(isWanted: Wanted): string[];
export declare function runRows(isWanted: Wanted, tell: (text: string) => void): Promise<RowResult[]>;
