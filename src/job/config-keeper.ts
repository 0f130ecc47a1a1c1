/** Keeps the configuration in force at every location that jobs work with: a host that is lost is rebuilt by it. */
import type { Config } from "../policy/config.ts";
import { keepConfig } from "../repository/points/kept-configs.ts";
import type { CallOptions } from "../storage/storage.ts";
import type { Location } from "./locations.ts";

export class ConfigKeeper {
  readonly #host: string;
  /** By location, the text that was stored there, or is being stored. */
  readonly #kept = new Map<string, Promise<string | undefined>>();

  constructor(host: string) {
    this.#host = host;
  }

  /** Stores it at the location, unless it is there already. One after the other, so that jobs which begin together store it once. Throws storage errors. */
  async keep({ name, repository }: Location, { file }: Config, options?: CallOptions): Promise<void> {
    const before = this.#kept.get(name);
    const keeping = (async (): Promise<string> => {
      if ((await before) !== file.text) await keepConfig(repository, { host: this.#host, ...file }, options);
      return file.text;
    })();
    this.#kept.set(
      name,
      keeping.catch(() => undefined),
    );
    await keeping;
  }
}
