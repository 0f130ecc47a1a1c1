/** What an error of the S3 client means to a user of the storage. */

import { isStillpointError, StillpointError, type ErrorCode } from "../../../errors.ts";
import { describeErrno } from "../../../host/errno-words.ts";

export interface S3ErrorContext {
  readonly location: string;
  /** Completes "Cannot …": "store packs/ab/one", "list". */
  readonly action: string;
}

interface Meaning {
  readonly code: ErrorCode;
  readonly next: string;
  readonly retryable?: boolean;
}

const denied: Meaning = {
  code: "storage_denied",
  next: "Look at the access key, and at what the bucket's policy allows it (docs/offsite.md).",
};
const wrongSecret: Meaning = {
  ...denied,
  next: "Look at the secret key: it isn't the one of that access key.",
};
const unknownKey: Meaning = {
  ...denied,
  next: "Look at the access key, and whether it is of this store: it knows no such key.",
};
const overdue: Meaning = { ...denied, next: "Get new credentials: these were valid for a time that is over." };
const keyless: Meaning = {
  ...denied,
  next: "Name a file with it as `credentials_file` (docs/offsite.md), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
};
const full: Meaning = { code: "storage_full", next: "Free some space at the store, or have the quota raised." };
const busy: Meaning = { code: "storage_failed", next: "Wait until the store is well again; its own log may say more." };
const refused: Meaning = {
  code: "storage_failed",
  next: "See whether the endpoint is an S3 store and the region is right.",
  retryable: false,
};
const unreachable: Meaning = {
  code: "storage_unreachable",
  next: "See that the endpoint is right, with http:// or https://, and that this machine reaches it.",
};
const untrusted: Meaning = {
  code: "storage_unreachable",
  next: "Name the file with the authority that signed the store's certificate as `ca_file`, or see whose certificate it is.",
  retryable: false,
};
const expired: Meaning = {
  ...untrusted,
  next: "Have the store's certificate renewed, unless this machine's clock is wrong.",
};
const nameless: Meaning = {
  ...untrusted,
  next: "Write the endpoint with a name that is in the store's certificate, or have one made for this name.",
};
const withoutTls: Meaning = {
  code: "storage_unreachable",
  next: "See whether the store speaks TLS there: the endpoint of one that doesn't begins with http://.",
  retryable: false,
};
const noBucket: Meaning = {
  code: "storage_unreachable",
  next: "See that bucket, endpoint and access key belong together. A bucket is never made by Stillpoint.",
};
const skewed: Meaning = {
  ...denied,
  next: "Set this machine's clock right: the store refuses times that are far from its own.",
};
const damagedOnTheWay: Meaning = {
  code: "storage_failed",
  next: "Look for what alters data between here and the store.",
};

/** Error codes of S3 (API reference, "Error responses"), of stores that have their own, and of node:tls. */
const meanings: ReadonlyMap<string | undefined, Meaning> = new Map(
  Object.entries({
    NoSuchBucket: noBucket,
    RequestTimeTooSkewed: skewed,
    QuotaExceeded: full,
    XMinioStorageFull: full,
    BadDigest: damagedOnTheWay,
    InvalidDigest: damagedOnTheWay,
    XAmzContentSHA256Mismatch: damagedOnTheWay,
    IncompleteBody: damagedOnTheWay,
    // A part or a whole upload that the store has lost is begun anew by the next try.
    NoSuchUpload: busy,
    InvalidPart: busy,
    RequestTimeout: busy,
    OperationAborted: busy,
    SlowDown: busy,
    SignatureDoesNotMatch: wrongSecret,
    InvalidAccessKeyId: unknownKey,
    ExpiredToken: overdue,
    CredentialsProviderError: keyless,
    TokenProviderError: denied,
    EPROTO: withoutTls,
    CERT_HAS_EXPIRED: expired,
    CERT_NOT_YET_VALID: expired,
    ERR_TLS_CERT_ALTNAME_INVALID: nameless,
  }),
);

/** The StillpointError for what AWS's client threw, without anything of the request in it: that has a signature. */
export function s3ErrorFrom(thrown: unknown, { location, action }: S3ErrorContext): StillpointError {
  if (isStillpointError(thrown)) return thrown;
  const found = factsOf(thrown);
  const { code, next, retryable } = meaningOf(found);
  return new StillpointError(code, {
    what: `Cannot ${action} in ${location}: ${describe(found)}`,
    safe: "What was stored before is untouched.",
    next,
    ...(retryable !== undefined && { retryable }),
    cause: new Error(found.message),
  });
}

export interface S3ErrorFacts {
  /** S3's code, such as `NoSuchKey`, or the kind of error. */
  readonly name: string;
  /** Of the answer; undefined when there was none. */
  readonly status: number | undefined;
  /** Of the system or of TLS, such as `ECONNREFUSED`. */
  readonly errno: string | undefined;
  readonly message: string;
}

export function factsOf(thrown: unknown): S3ErrorFacts {
  const outer = thrown as Fields | undefined;
  const name = typeof outer?.name === "string" ? outer.name : "";
  const message = typeof outer?.message === "string" ? outer.message.slice(0, 300) : "";
  return { name, status: outer?.$metadata?.httpStatusCode, errno: errnoWithin(outer), message };
}

/** What errors of the client may have, as far as it matters here. */
interface Fields {
  readonly name?: unknown;
  readonly message?: unknown;
  readonly code?: unknown;
  readonly cause?: unknown;
  readonly errors?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: number | undefined } | undefined;
}

/** Several addresses of one name fail together, as an AggregateError. */
function errnoWithin(error: Fields | undefined): string | undefined {
  if (typeof error?.code === "string") return error.code;
  const inner: unknown = Array.isArray(error?.errors) ? error.errors[0] : error?.cause;
  return typeof inner === "object" && inner !== null ? errnoWithin(inner) : undefined;
}

function meaningOf({ name, status, errno }: S3ErrorFacts): Meaning {
  const known = meanings.get(name) ?? meanings.get(errno);
  if (known !== undefined) return known;
  if (status === undefined)
    return errno !== undefined && /CERT|SIGNATURE|SELF_SIGNED|ERR_TLS|^INVALID_CA$/.test(errno)
      ? untrusted
      : unreachable;
  if (status === 401 || status === 403) return denied;
  if (status === 501) return refused;
  if (status === 507) return full;
  // A 2xx that ends as an error was cut off, or wasn't what S3 answers.
  if (status === 408 || status === 429 || status >= 500 || status < 300) return busy;
  return refused;
}

function describe({ name, status, errno, message }: S3ErrorFacts): string {
  // An answer to HEAD has no body that could say why.
  if (name === "Unknown" && status !== undefined) return `the store answered ${status}`;
  const reason = errno === undefined ? nameOf(name) : describeErrno(errno);
  if (status !== undefined) return `the store answered ${reason} (${status})`;
  // AWS's client calls a connection that was cut by that name too.
  if (name === "TimeoutError" && (errno === undefined || errno === "ETIMEDOUT"))
    return "the store didn't answer in time";
  if (name === "CredentialsProviderError") return "no access key was found (CredentialsProviderError)";
  return errno === undefined ? `${reason} (${message})` : reason;
}

function nameOf(name: string): string {
  return /^[A-Za-z0-9.]{1,60}$/.test(name) ? name : "an error without a name";
}
