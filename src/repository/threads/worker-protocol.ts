/** Messages between the main thread and a worker thread, and errors across that line. */
import { type ErrorCode, type ErrorParts, describeError, StillpointError } from "../../errors.ts";
import type { PackInfo } from "../blobs/pack.ts";

export type ToWorker =
  | { readonly kind: "run"; readonly id: number; readonly task: string; readonly input: unknown }
  | { readonly kind: "flush"; readonly id: number };

export type FromWorker =
  | { readonly kind: "done"; readonly id: number; readonly output: unknown }
  | { readonly kind: "failed"; readonly id: number; readonly error: PlainError }
  | { readonly kind: "pack"; readonly pack: PackInfo };

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
