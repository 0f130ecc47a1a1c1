import type { ListObjectsV2CommandOutput } from "@aws-sdk/client-s3";
import { StillpointError } from "../../../errors.ts";

type Listed = NonNullable<ListObjectsV2CommandOutput["Contents"]>;

/** Where a listing stands, which comes in pages: it ends only where the store says that it does. */
export class S3Listing {
  readonly #location: string;
  #token: string | undefined;
  #complete = false;

  constructor(location: string) {
    this.#location = location;
  }

  get complete(): boolean {
    return this.#complete;
  }

  /** What the request for the next page has besides. */
  get next(): { readonly ContinuationToken?: string } {
    return this.#token === undefined ? {} : { ContinuationToken: this.#token };
  }

  /** The page's objects. Throws `storage_failed` when it says neither that it is the last nor how to go on. */
  take({ Contents, IsTruncated, NextContinuationToken: token }: ListObjectsV2CommandOutput): Listed {
    if (IsTruncated === undefined) throw this.#broken("doesn't say whether it is the last");
    if (IsTruncated && (token === undefined || token === "" || token === this.#token))
      throw this.#broken("isn't the last, and doesn't say how to go on");
    this.#complete = !IsTruncated;
    this.#token = token;
    return Contents ?? [];
  }

  #broken(how: string): StillpointError {
    return new StillpointError("storage_failed", {
      what: `Cannot list ${this.#location}: a page of the listing ${how}`,
      safe: "Nothing was changed, and nothing is taken for missing.",
      next: "See whether the endpoint is an S3 store.",
    });
  }
}
