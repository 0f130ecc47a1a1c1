/** The keys derived from a repository's master key, and what is done with them (docs/format.md sections 5 and 6). */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  hkdfSync,
  type KeyObject,
  sign,
  verify,
} from "node:crypto";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { isStillpointError } from "../../errors.ts";
import { randomBytes } from "../../host/random.ts";
import { release } from "../../host/release.ts";
import {
  type BlobKind,
  checkHeader,
  damagedObject,
  encodeHeader,
  headerLength,
  maxBlobLength,
  type ObjectClass,
  type ObjectType,
  objectClasses,
  tagLength,
} from "../format.ts";

/** Bodies of small objects and indexes are at most this long; a longer one is refused, not unpacked. In bytes. */
const maxBodyLength = 16 * maxBlobLength;
/** Of Ed25519, in bytes. */
const signatureLength = 64;
/** PKCS #8 (RFC 8410) before an Ed25519 seed. */
const ed25519Prefix = Buffer.from("302e020100300506032b657004220420", "hex");

function hkdf(secret: Uint8Array, salt: Uint8Array, info: string | Uint8Array): Buffer {
  return Buffer.from(hkdfSync("sha256", secret, salt, info, 32));
}

export function sha256(...pieces: readonly Uint8Array[]): Buffer {
  const hash = createHash("sha256");
  for (const piece of pieces) hash.update(piece);
  return hash.digest();
}

/** What is signed; a signature of one kind isn't one of another. */
export type SignedKind = "manifest" | "locks";

export interface KeyRingOptions {
  /** 32 bytes. Never logged, never stored unwrapped. */
  readonly masterKey: Uint8Array;
  /** 16 bytes. */
  readonly repositoryId: Uint8Array;
}

export class KeyRing {
  readonly #options: KeyRingOptions;
  readonly #contentId: Buffer;
  readonly #classes: Record<ObjectClass, Buffer>;
  readonly #sourceTag: Buffer;
  readonly #kindPrefixes = [0, 1, 2, 3, 4].map((kind) => Buffer.from([kind]));
  #signing: { readonly privateKey: KeyObject; readonly publicKey: KeyObject } | undefined;

  constructor(options: KeyRingOptions) {
    this.#options = options;
    this.#contentId = this.classKey("content-id");
    this.#sourceTag = this.classKey("source-tag");
    this.#classes = { metadata: this.classKey("metadata"), data: this.classKey("data") };
  }

  /** What a worker thread needs to make the same ring. A secret: it stays in this process. */
  get options(): KeyRingOptions {
    return this.#options;
  }

  get repositoryId(): string {
    return Buffer.from(this.#options.repositoryId).toString("hex");
  }

  classKey(name: string): Buffer {
    return hkdf(this.#options.masterKey, this.#options.repositoryId, `stillpoint/1/class/${name}`);
  }

  get keyCheck(): string {
    return createHmac("sha256", this.classKey("verify")).update("stillpoint/1/key-check").digest("hex");
  }

  /** The id of a blob: 32 bytes. */
  blobId(kind: BlobKind, content: Uint8Array): Buffer {
    return createHmac("sha256", this.#contentId)
      .update(this.#kindPrefixes[kind] as Buffer)
      .update(content)
      .digest();
  }

  /** The name of a source in object names: 32 hex digits. */
  sourceTag(source: string): string {
    return createHmac("sha256", this.#sourceTag).update(source).digest("hex").slice(0, 32);
  }

  /** The key of one object, from its header. */
  objectKey(header: Buffer): Buffer {
    const objectClass = header[10] === objectClasses.data ? "data" : "metadata";
    const info = Buffer.concat([Buffer.from("stillpoint/1/object"), header.subarray(0, 16)]);
    return hkdf(this.#classes[objectClass], header.subarray(16, headerLength), info);
  }

  /** A whole object with one body. */
  sealObject(type: ObjectType, plaintext: Uint8Array): Buffer {
    const header = encodeHeader(type, "metadata", randomBytes(32));
    const packed = zstdCompressSync(plaintext, { chunkSize: plaintext.length + (plaintext.length >> 8) + 1024 });
    const sealed = seal(this.objectKey(header), 0, header, packed);
    return Buffer.concat([header, sealed]);
  }

  /** The plaintext of an object with one body. Throws `damaged`; `name` is for the message. */
  openObject(type: ObjectType, data: Buffer, name: string): Buffer {
    const header = knownHeader(data, type, name);
    try {
      const packed = unseal(this.objectKey(header), 0, header, data.subarray(headerLength));
      return zstdDecompressSync(packed, { maxOutputLength: maxBodyLength });
    } catch (error) {
      throw damagedObject(name, "its seal doesn't open", error);
    }
  }

  /** A whole object of signed JSON. */
  sealSigned(kind: SignedKind, json: Uint8Array): Buffer {
    const signature = sign(null, signedBytes(kind, json), this.#signingKeys().privateKey);
    return this.sealObject(kind, Buffer.concat([signature, json]));
  }

  /** The JSON of a signed object. Throws `damaged`; `name` is for the message. */
  openSigned(kind: SignedKind, data: Buffer, name: string): Buffer {
    const plain = this.openObject(kind, data, name);
    const json = plain.subarray(signatureLength);
    if (verify(null, signedBytes(kind, json), this.#signingKeys().publicKey, plain.subarray(0, signatureLength)))
      return json;
    throw damagedObject(name, "its signature is wrong");
  }

  #signingKeys(): { readonly privateKey: KeyObject; readonly publicKey: KeyObject } {
    if (this.#signing === undefined) {
      const der = Buffer.concat([ed25519Prefix, this.classKey("signing")]);
      const privateKey = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
      this.#signing = { privateKey, publicKey: createPublicKey(privateKey) };
    }
    return this.#signing;
  }
}

function signedBytes(kind: SignedKind, json: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`stillpoint/1/${kind}\0`), json]);
}

/** In a repository of a known suite, an object of another one is a flipped bit: nothing vouches for a header before the seal opens. */
function knownHeader(data: Buffer, type: ObjectType, name: string): Buffer {
  try {
    return checkHeader(data, type, "metadata", name);
  } catch (error) {
    if (!isStillpointError(error, "format_unsupported")) throw error;
    throw damagedObject(name, "its header names a suite or key slot that isn't known here", error);
  }
}

/** 8 zero bytes and the number: unique in an object, and an object's key is used for that object alone. */
function nonce(number: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt32BE(number, 8);
  return bytes;
}

/** AES-256-GCM; the tag is appended. */
export function seal(key: Uint8Array, number: number, associated: Uint8Array, plaintext: Uint8Array): Buffer {
  const cipher = createCipheriv("aes-256-gcm", key, nonce(number));
  cipher.setAAD(associated);
  const body = cipher.update(plaintext);
  cipher.final();
  return Buffer.concat([body, cipher.getAuthTag()]);
}

/** Like `seal`, written into `target`, which has room for just that. */
export function sealInto(
  target: Buffer,
  key: Uint8Array,
  number: number,
  associated: Uint8Array,
  plaintext: Uint8Array,
): void {
  const cipher = createCipheriv("aes-256-gcm", key, nonce(number));
  cipher.setAAD(associated);
  const body = cipher.update(plaintext);
  target.set(body);
  release(body);
  cipher.final();
  target.set(cipher.getAuthTag(), plaintext.length);
}

/** Opens what `seal` made. Throws when the tag doesn't fit. */
export function unseal(key: Uint8Array, number: number, associated: Uint8Array, sealed: Uint8Array): Buffer {
  const decipher = createDecipheriv("aes-256-gcm", key, nonce(number), { authTagLength: tagLength });
  decipher.setAAD(associated);
  decipher.setAuthTag(sealed.subarray(sealed.length - tagLength));
  const plaintext = decipher.update(sealed.subarray(0, sealed.length - tagLength));
  decipher.final();
  return plaintext;
}
