/** Messages between the main thread and a worker thread, and errors across that line. */
import type { ByteRange } from "../../storage/storage.ts";
import { type ErrorCode, type ErrorParts, describeError, StillpointError } from "../../errors.ts";
import type { PackInfo } from "../blobs/pack.ts";

export type ToWorker =
  | { readonly kind: "run"; readonly id: number; readonly task: string; readonly input: unknown }
  | { readonly kind: "flush"; readonly id: number }
  /** Of a call of the storage, by its number. */
  | { readonly kind: "answer"; readonly call: number; readonly answer: Uint8Array | PlainError | undefined };

export type FromWorker =
  | { readonly kind: "advanced"; readonly id: number; readonly bytes: number }
  | { readonly kind: "done"; readonly id: number; readonly output: unknown }
  | { readonly kind: "failed"; readonly id: number; readonly error: PlainError }
  | { readonly kind: "pack"; readonly pack: PackInfo }
  | { readonly kind: "call"; readonly call: number; readonly request: StorageRequest };

/** What a thread asks of a storage that the main thread has open. */
export type StorageRequest =
  | {
      readonly operation: "get";
      readonly name: string;
      readonly range: ByteRange | undefined;
      /** See `GetOptions`: the answer then has no bytes. */
      readonly into: Uint8Array<SharedArrayBuffer> | undefined;
    }
  | { readonly operation: "put"; readonly name: string; readonly data: readonly Uint8Array[] };

export interface PlainError {
  readonly code: ErrorCode | undefined;
  readonly parts: Omit<ErrorParts, "cause">;
  readonly stack: string | undefined;
}

export function toPlainError(error: unknown): PlainError {
  if (error instanceof StillpointError) {
    const { cause: _, ...parts } = error.parts;
    return { code: error.code, parts, stack: error.stack };
  }
  return {
    code: undefined,
    parts: { what: describeError(error) },
    stack: error instanceof Error ? error.stack : undefined,
  };
}

export function fromPlainError(plain: PlainError): Error {
  const error = plain.code === undefined ? new Error(plain.parts.what) : new StillpointError(plain.code, plain.parts);
  if (plain.stack !== undefined) error.stack = plain.stack;
  return error;
}
