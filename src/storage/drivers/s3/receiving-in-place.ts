import type { Agent } from "node:http";
import { markAsUntransferable } from "node:worker_threads";

/** Of each connection, in bytes. */
const memoryLength = 128 * 1024;

/**
 * Makes the connections of an agent receive into memory that they use over and over. Node gives each piece memory of its own, and V8
 * collects the whole heap for every 20 MiB of that. Nobody sees a piece later on: Node's parser of HTTP copies what it passes on.
 */
export function receivingInPlace<A extends Agent>(agent: A): A {
  const connect = agent.createConnection.bind(agent);
  agent.createConnection = (options, connected) => {
    const memory = Buffer.allocUnsafeSlow(memoryLength);
    markAsUntransferable(memory.buffer);
    const callback = (length: number): boolean => {
      socket?.emit("data", memory.subarray(0, length));
      return true;
    };
    const inPlace = { ...options, onread: { buffer: memory, callback } };
    const socket = connect(inPlace, connected);
    return socket;
  };
  return agent;
}
