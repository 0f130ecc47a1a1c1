/** The master key, wrapped by a passphrase, a key file or an age recipient (docs/format.md section 4). */
import { argon2, createCipheriv, hkdfSync } from "node:crypto";
import { promisify } from "node:util";
import * as z from "zod";
import { StillpointError } from "../../errors.ts";
import { randomBytes } from "../../host/random.ts";
import { damagedObject } from "../format.ts";
import { unseal } from "./key-ring.ts";

const argon2Async = promisify(argon2);
const keyFileMark = "stillpoint-key-1:";
const kdfDefaults = { name: "argon2id", version: 19, memory_kib: 65_536, passes: 3, parallelism: 4 } as const;

/** What opens a repository. Secrets: never logged. */
export type Secret =
  | { readonly type: "passphrase"; readonly passphrase: string }
  /** The 32 bytes of a key file. */
  | { readonly type: "key-file"; readonly secret: Buffer }
  /** `AGE-SECRET-KEY-1…` */
  | { readonly type: "age"; readonly identity: string };

/** What a further key is made for: as `Secret`, but for age the recipient (`age1…`) is enough. */
export type NewKey = Exclude<Secret, { type: "age" }> | { readonly type: "age"; readonly recipient: string };

const base64 = z.base64();
const common = { version: z.literal(1), label: z.string(), created: z.string(), wrapped: base64 };
const keySchema = z.discriminatedUnion("type", [
  z.object({
    ...common,
    type: z.literal("passphrase"),
    kdf: z.object({
      name: z.literal("argon2id"),
      version: z.literal(19),
      memory_kib: z
        .int()
        .min(8)
        .max(4 * 1024 * 1024),
      passes: z.int().min(1).max(100),
      parallelism: z.int().min(1).max(64),
      salt: base64,
    }),
  }),
  z.object({ ...common, type: z.literal("key-file"), salt: base64 }),
  z.object({ ...common, type: z.literal("age"), recipient: z.string() }),
]);
export type KeyObject = Readonly<z.infer<typeof keySchema>>;

/** The text of a new key file, with its secret. */
export function newKeyFile(): { readonly text: string; readonly secret: Buffer } {
  const secret = randomBytes(32);
  return { text: `${keyFileMark}${secret.toString("base64")}\n`, secret };
}

/** The secret in a key file. Throws `key_wrong` when the file isn't one. */
export function parseKeyFile(text: string, file: string): Buffer {
  const line = text.trim();
  const secret = Buffer.from(line.slice(keyFileMark.length), "base64");
  if (line.startsWith(keyFileMark) && secret.length === 32) return secret;
  throw new StillpointError("key_wrong", {
    what: `Cannot use ${file} as a key file: it isn't one line of "${keyFileMark}" and the base64 of 32 bytes`,
    safe: "Nothing was changed.",
    next: "Name the file that `stillpoint init` wrote.",
  });
}

export interface WrapOptions {
  readonly label: string;
  readonly created: string;
  readonly repositoryId: Uint8Array;
}

/** The key object's bytes. Throws `usage` for an age recipient that isn't one. */
export async function wrapMasterKey(masterKey: Buffer, key: NewKey, options: WrapOptions): Promise<Buffer> {
  const head = { version: 1, type: key.type, label: options.label, created: options.created } as const;
  if (key.type === "age") {
    const wrapped = Buffer.from(await ageEncrypt(masterKey, key.recipient)).toString("base64");
    return Buffer.from(`${JSON.stringify({ ...head, recipient: key.recipient, wrapped })}\n`);
  }
  const salt = randomBytes(32);
  const kdf = { ...kdfDefaults, salt: salt.toString("base64") };
  const parameters = key.type === "passphrase" ? { kdf } : { salt: kdf.salt };
  const wrapping = key.type === "passphrase" ? await passphraseKey(key.passphrase, kdf) : fileKey(key.secret, salt);
  const cipher = createCipheriv("aes-256-gcm", wrapping, Buffer.alloc(12));
  cipher.setAAD(wrapContext(options.repositoryId));
  const wrapped = Buffer.concat([cipher.update(masterKey), cipher.final(), cipher.getAuthTag()]).toString("base64");
  return Buffer.from(`${JSON.stringify({ ...head, ...parameters, wrapped })}\n`);
}

/** A parsed key object. Throws `damaged`. */
export function parseKeyObject(data: Buffer, name: string): KeyObject {
  try {
    return keySchema.parse(JSON.parse(data.toString()));
  } catch (error) {
    throw damagedObject(name, "it isn't a key of a known form", error);
  }
}

/** The master key, or undefined when this secret doesn't open this key object. */
export async function unwrapMasterKey(
  key: KeyObject,
  secret: Secret,
  repositoryId: Uint8Array,
): Promise<Buffer | undefined> {
  const wrapped = Buffer.from(key.wrapped, "base64");
  try {
    if (key.type === "age") return secret.type === "age" ? await ageDecrypt(wrapped, secret.identity) : undefined;
    if (key.type !== secret.type) return undefined;
    const wrapping =
      key.type === "passphrase"
        ? await passphraseKey((secret as Extract<Secret, { type: "passphrase" }>).passphrase, key.kdf)
        : fileKey((secret as Extract<Secret, { type: "key-file" }>).secret, Buffer.from(key.salt, "base64"));
    return unseal(wrapping, 0, wrapContext(repositoryId), wrapped);
  } catch {
    return undefined; // The seal doesn't open: another secret's key object.
  }
}

function wrapContext(repositoryId: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from("stillpoint/1/key"), repositoryId]);
}

function fileKey(secret: Buffer, salt: Buffer): Buffer {
  return Buffer.from(hkdfSync("sha256", secret, salt, "stillpoint/1/wrap", 32));
}

type Kdf = Extract<KeyObject, { type: "passphrase" }>["kdf"];

async function passphraseKey(passphrase: string, kdf: Kdf): Promise<Buffer> {
  return await argon2Async("argon2id", {
    message: passphrase.normalize("NFC"),
    nonce: Buffer.from(kdf.salt, "base64"),
    memory: kdf.memory_kib,
    passes: kdf.passes,
    parallelism: kdf.parallelism,
    tagLength: 32,
  });
}

async function ageEncrypt(masterKey: Buffer, recipient: string): Promise<Uint8Array> {
  const { Encrypter } = await import("age-encryption"); // 7 MiB, which nobody else needs to carry.
  const encrypter = new Encrypter();
  try {
    encrypter.addRecipient(recipient);
  } catch (error) {
    throw new StillpointError("usage", {
      what: `Cannot wrap the key for ${recipient}: that isn't an age recipient (age1…)`,
      safe: "Nothing was changed.",
      cause: error,
    });
  }
  return await encrypter.encrypt(masterKey);
}

async function ageDecrypt(wrapped: Buffer, identity: string): Promise<Buffer> {
  const { Decrypter } = await import("age-encryption");
  const decrypter = new Decrypter();
  decrypter.addIdentity(identity);
  return Buffer.from(await decrypter.decrypt(wrapped));
}
