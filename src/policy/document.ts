/** A YAML document as plain data that remembers where each part stands. */

import type { Document, ParsedNode, YAMLError } from "yaml";
import { isAlias, isMap, isScalar, isSeq, parseDocument } from "yaml";
import type { Problem, Range, SourceText } from "./problems.ts";
import { problemsError } from "./problems.ts";

export type Path = readonly PropertyKey[];

export interface YamlDocument {
  readonly source: SourceText;
  /** Maps as objects with their own keys only, lists as arrays, scalars as JavaScript values. */
  readonly value: unknown;
  /** Where the value at `path` stands, or its nearest ancestor that is there. */
  readonly rangeOf: (path: Path) => Range;
  /** Where the key that ends `path` stands, or what `rangeOf` says. */
  readonly keyRangeOf: (path: Path) => Range;
}

const mostCharacters = 256 * 1024;
const mostNodes = 50_000;
const deepest = 32;

/** Reads `text` as one YAML 1.2 document. Throws `config_invalid` with everything that isn't YAML, or isn't sane. */
export function readYaml(text: string, file: string): YamlDocument {
  const refuse = (message: string): never => {
    throw problemsError({ file, text: text.slice(0, 200) }, [{ range: [0, 1], message }]);
  };
  if (text.length > mostCharacters) refuse("the file is too large: more than 256 KiB");
  if (text.includes("\0"))
    throw problemsError({ file, text: "" }, [{ range: [0, 1], message: "this isn't a text file" }]);
  if (nestsTooDeep(text)) refuse(`nested too deep: more than ${deepest} levels`);
  // Its own search for keys that are there twice takes quadratic time; the reader's doesn't.
  const document = parseDocument(text, { uniqueKeys: false, prettyErrors: false });
  const reader = new Reader(document);
  const value = reader.read(document.contents, [], 0);
  const source: SourceText = { file, text, secrets: reader.secrets };
  const syntax = [...document.errors, ...document.warnings].map(syntaxProblem);
  if (syntax.length > 0) throw problemsError(source, syntax);
  if (reader.problems.length > 0) throw problemsError(source, reader.problems);
  if (document.contents === null) refuse("the file is empty");
  return { source, value, rangeOf: (path) => reader.rangeOf(path), keyRangeOf: (path) => reader.keyRangeOf(path) };
}

/** The value at `path` in a text that may be no YAML elsewhere; undefined when none can be seen. */
export function peekYaml(text: string, path: readonly string[]): unknown {
  if (text.length > mostCharacters || nestsTooDeep(text)) return undefined;
  return parseDocument(text, { uniqueKeys: false }).getIn(path);
}

/** The parser takes very long over thousands of nested brackets; no honest file has them. */
function nestsTooDeep(text: string): boolean {
  let depth = 0;
  for (const bracket of text.matchAll(/[[{\]}]/g)) {
    depth += bracket[0] === "[" || bracket[0] === "{" ? 1 : -1;
    if (depth < 0) depth = 0;
    if (depth > 10 * deepest) return true;
  }
  return false;
}

function syntaxProblem({ code, message, pos }: YAMLError): Problem {
  const known: Partial<Record<YAMLError["code"], string>> = {
    MULTIPLE_DOCS: "a second document begins here; a file has one",
    TAB_AS_INDENT: "tabs can't be used to indent",
    BLOCK_IN_FLOW: "a comma or a closing bracket is missing before this",
    RESOURCE_EXHAUSTION: "nested too deep",
  };
  return { range: [pos[0], pos[1]], message: known[code] ?? `not valid YAML: ${message}` };
}

class Reader {
  readonly problems: Problem[] = [];
  readonly secrets: Range[] = [];
  readonly #document: Document.Parsed;
  readonly #ranges = new Map<string, Range>();
  readonly #keys = new Map<string, Range>();
  #nodes = 0;
  /** The outermost alias that is being followed. */
  #alias: Range | undefined;

  constructor(document: Document.Parsed) {
    this.#document = document;
  }

  rangeOf(path: Path): Range {
    for (let length = path.length; length >= 0; length--) {
      const range = this.#ranges.get(keyOf(path.slice(0, length)));
      if (range !== undefined) return range;
    }
    return [0, 1];
  }

  keyRangeOf(path: Path): Range {
    return this.#keys.get(keyOf(path)) ?? this.rangeOf(path);
  }

  /** The plain value of `node`. Aliases are followed; a count of nodes keeps them from multiplying. */
  read(node: ParsedNode | null, path: Path, depth: number): unknown {
    if (node === null || this.#nodes > mostNodes) return null;
    const range: Range = [node.range[0], node.range[1]];
    this.#ranges.set(keyOf(path), range);
    this.#nodes++;
    if (this.#nodes > mostNodes) return this.#refuse(range, "too many values, counting what aliases stand for");
    if (depth > deepest) return this.#refuse(range, `nested too deep: more than ${deepest} levels`);
    if (path.includes("environment") && isScalar(node)) this.secrets.push(range);
    if (isAlias(node)) {
      const target = node.resolve(this.#document) as ParsedNode | undefined;
      return target === undefined
        ? this.#refuse(range, "no anchor has this name")
        : this.#readAt(range, target, path, depth);
    }
    if (isScalar(node)) return node.value;
    if (isSeq(node)) return node.items.map((item, index) => this.read(item, [...path, index], depth + 1));
    if (isMap(node)) return this.#readMap(node.items, path, depth);
    return this.#refuse(range, "this kind of node can't be used here");
  }

  /** What an alias stands for is reported where the alias is. */
  #readAt(range: Range, target: ParsedNode, path: Path, depth: number): unknown {
    const outer = this.#alias;
    this.#alias ??= range;
    const value = this.read(target, path, depth + 1);
    this.#alias = outer;
    this.#ranges.set(keyOf(path), range);
    return value;
  }

  #readMap(items: { key: ParsedNode; value: ParsedNode | null }[], path: Path, depth: number): unknown {
    const seen = new Set<string>();
    const entries = items.flatMap(({ key, value }): [string, unknown][] => {
      const range: Range = [key.range[0], key.range[1]];
      const word = isScalar(key) ? key.value : undefined;
      if ((typeof word !== "string" && typeof word !== "number") || word === "__proto__") {
        this.#refuse(range, "a key must be a plain word");
        return [];
      }
      const name = String(word);
      if (seen.has(name)) this.#refuse(range, "this key is there twice; one of them would be lost");
      seen.add(name);
      const at = [...path, name];
      this.#keys.set(keyOf(at), range);
      this.#ranges.set(keyOf(at), range);
      return [[name, this.read(value, at, depth + 1)]];
    });
    return Object.fromEntries(entries);
  }

  #refuse(range: Range, message: string): null {
    this.problems.push({ range: this.#alias ?? range, message });
    return null;
  }
}

function keyOf(path: Path): string {
  return JSON.stringify(path.map(String));
}
