/** What goes with every call to a storage. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}
