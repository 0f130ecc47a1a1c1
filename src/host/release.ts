import { isMarkedAsUntransferable } from "node:worker_threads";

/**
 * Gives back the memory of `bytes` at once, instead of whenever the garbage collector gets to it. For large buffers that
 * Node makes by the thousand: outputs of zlib and of ciphers, and what was read from a file. Nobody may use `bytes` any
 * more, nor anything that shares its memory: they all have length 0 from now on. Harmless when repeated.
 *
 * Without this, collections of the whole heap take a third of a capture's processor time: each call of zlib leaves its output
 * attached to an object that only they find dead.
 *
 * What comes from Node's pool of small buffers is shared with others, and stays.
 */
export function release(bytes: Uint8Array): void {
  const memory = bytes.buffer;
  if (memory instanceof ArrayBuffer && !memory.detached && !isMarkedAsUntransferable(memory)) memory.transfer(0);
}
