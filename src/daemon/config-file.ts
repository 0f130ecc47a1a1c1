/** The configuration in force, and the file that it came from. All or nothing: what isn't valid changes nothing. */
import { isStillpointError, StillpointError } from "../errors.ts";
import type { Clock } from "../host/clock.ts";
import { reasonOf } from "../host/errno-words.ts";
import { errnoOf, type Files } from "../host/files.ts";
import type { Logger } from "../host/log.ts";
import { exposedSecrets } from "../job/exposed-secrets.ts";
import { type ErrorReport, errorReport } from "../job/report.ts";
import type { Config } from "../policy/config.ts";
import { loadConfig } from "../policy/load.ts";

/** How often the file is looked at, in ms (docs/decisions/0031-reload-by-looking.md). */
const interval = 1000;

export interface ConfigFileOptions {
  /** An absolute path. */
  readonly path: string;
  readonly files: Files;
  readonly clock: Clock;
  readonly log: Logger;
  /** Puts another configuration into force. When it throws, the one before must be in force still. */
  readonly apply: (config: Config, before: Config) => Promise<void>;
  /** Called when it is in force. */
  readonly applied: () => Promise<void>;
}

interface Loaded {
  readonly config: Config;
  readonly text: string;
  readonly time: number;
}

export class ConfigFile {
  readonly #options: ConfigFileOptions;
  #loaded: Loaded | undefined;
  #error: ErrorReport | undefined;
  /** The file as it was when it was last read, and as it was when it was last looked at. */
  #readStamp = "";
  #seenStamp = "";
  #reloading: Promise<unknown> = Promise.resolve();

  constructor(options: ConfigFileOptions) {
    this.#options = options;
  }

  get path(): string {
    return this.#options.path;
  }

  get config(): Config {
    return this.#inForce.config;
  }

  /** The configuration in force once a reload that was asked for before has ended: for whoever may have asked for that reload. */
  async settled(): Promise<Config> {
    // A signal that is there already is heard only after the requests that came with it.
    await this.#options.clock.sleep(1);
    await this.#reloading;
    return this.config;
  }

  /** What the file held when it was put into force. */
  get text(): string {
    return this.#inForce.text;
  }

  /** When the configuration in force was read, in ms since the epoch. */
  get loaded(): number {
    return this.#inForce.time;
  }

  /** Why the file, as it is now, isn't in force; undefined when it is. */
  get error(): ErrorReport | undefined {
    return this.#error;
  }

  /** The first time. Throws `config_missing` or `config_invalid`. */
  async load(): Promise<Config> {
    this.#readStamp = await this.#stamp();
    this.#loaded = await this.#read();
    await this.#warn(this.#loaded.config);
    return this.#loaded.config;
  }

  /** Reloads the file whenever it has changed, until the signal aborts. */
  async follow(signal: AbortSignal): Promise<void> {
    this.#seenStamp = this.#readStamp;
    while (!signal.aborted) {
      await this.#options.clock.sleep(interval, signal).catch(() => undefined);
      const stamp = await this.#stamp();
      // Looked at twice and the same: whoever was writing it has finished.
      const settled = stamp === this.#seenStamp;
      this.#seenStamp = stamp;
      if (settled && stamp !== this.#readStamp && !signal.aborted) await this.reload().catch(() => undefined);
    }
  }

  /**
   * Puts the file into force as it is now; returns whether that changed anything. Throws `config_missing` or
   * `config_invalid`, after it was logged, with the configuration before still in force.
   */
  async reload(): Promise<boolean> {
    const reloading = this.#reloading.then(async () => await this.#reload());
    this.#reloading = reloading.catch(() => undefined);
    return await reloading;
  }

  async #reload(): Promise<boolean> {
    const { log, apply, applied } = this.#options;
    this.#readStamp = await this.#stamp();
    try {
      const before = this.#inForce;
      const loaded = await this.#read();
      this.#error = undefined;
      if (loaded.text === before.text) return false;
      refuseMove(before.config, loaded.config);
      await apply(loaded.config, before.config);
      this.#loaded = loaded;
    } catch (error) {
      this.#error = errorReport(error);
      log.error("configuration not reloaded: the one before stays in force", { file: this.path, error });
      throw error;
    }
    log.info("configuration reloaded", { file: this.path });
    await applied();
    await this.#warn(this.#inForce.config);
    return true;
  }

  async #warn(config: Config): Promise<void> {
    const warnings = [...config.warnings, ...(await exposedSecrets(config))];
    for (const warning of warnings) this.#options.log.warn("configuration", { warning });
  }

  get #inForce(): Loaded {
    if (this.#loaded === undefined) throw new Error("the configuration was used before it was loaded");
    return this.#loaded;
  }

  async #read(): Promise<Loaded> {
    const { path, files, clock } = this.#options;
    let text: string;
    try {
      text = (await files.read(path)).toString();
    } catch (error) {
      const denied = errnoOf(error) === "EACCES";
      throw new StillpointError("config_missing", {
        what: `Cannot read the configuration in ${path}: ${reasonOf(error)}`,
        safe: "Nothing was changed.",
        next: denied
          ? "Let the user that the daemon runs as read it."
          : "Correct the path, or make one with `stillpoint init`.",
        cause: error,
      });
    }
    return { text, config: loadConfig(text, path), time: clock.now() };
  }

  /** Changes whenever the file does. */
  async #stamp(): Promise<string> {
    try {
      const { time, size } = await this.#options.files.stat(this.path);
      return `${String(time)} ${String(size)}`;
    } catch (error) {
      return isStillpointError(error) ? error.code : "missing";
    }
  }
}

/** What a running daemon can't change: the repository itself. */
function refuseMove(before: Config, after: Config): void {
  if (JSON.stringify(before.repository) === JSON.stringify(after.repository)) return;
  throw new StillpointError("config_invalid", {
    what: "The repository, its key or its state folder is another one now, which takes a restart",
    safe: "The running policies stay in force.",
    next: "Restart Stillpoint, or take that change back.",
  });
}
