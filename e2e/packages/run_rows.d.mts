/** See `run_rows.mjs`. */
export interface RowResult {
  readonly name: string;
  readonly version: string | null;
  readonly kinds: readonly string[];
  readonly outcome: 'passed' | 'failed' | 'not here';
  readonly reason: string;
}
type Wanted = (row: { readonly name: string; readonly quick?: boolean }) => boolean;
export declare function rowNames(isWanted: Wanted): string[];
export declare function runRows(isWanted: Wanted, tell: (text: string) => void): Promise<RowResult[]>;
