/** Completions for bash, zsh and fish: verbs, options, and the names that the configuration has. */
import type { CommandSpec, OptionSpec, Value } from "./command-line.ts";

export type Shell = "bash" | "zsh" | "fish";

/** Where each shell looks for it, as the name of the file. */
export const completionFiles: Readonly<Record<Shell, string>> = {
  bash: "stillpoint",
  zsh: "_stillpoint",
  fish: "stillpoint.fish",
};

export function completionFor(shell: Shell, specs: readonly CommandSpec[]): string {
  const render = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion }[shell];
  return render(specs);
}

/**
 * Prints the names of one kind (sources, policies, replicas), a line each, for all three shells: `config check --json` has each list with
 * one name to a line. Nothing where there is no configuration that can be read.
 */
function namesPipeline(program: string, list: string): string {
  const awk = String.raw`$0 ~ "^  \"" list "\": [[]$" { on = 1; next } on && /\]/ { exit } on { gsub(/[", ]/, ""); print }`;
  return `${program} config check --json 2>/dev/null | awk -v list=${list} '${awk}'`;
}

/** What a shell has to call for a kind of value: the list of names, and those that are always there. */
function namesOf(value: Value): { readonly list: string; readonly more: readonly string[] } | undefined {
  switch (value.kind) {
    case "policy":
      return { list: "policies", more: [] };
    case "source":
      return { list: "sources", more: [] };
    case "replica":
      return { list: "replicas", more: [] };
    case "location":
      return { list: "replicas", more: ["primary"] };
    default:
      return undefined;
  }
}

function wordsOf({ short, long }: OptionSpec): string[] {
  return short === undefined ? [long] : [short, long];
}

function pathOf({ path }: CommandSpec): string {
  return path.join(" ");
}

/** Verbs that have verbs of their own. */
function groupsOf(specs: readonly CommandSpec[]): CommandSpec[] {
  return specs.filter(({ path, subcommands }) => path.length > 0 && subcommands.length > 0);
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

function bashCompletion(specs: readonly CommandSpec[]): string {
  const values = (value: Value): string => {
    const names = namesOf(value);
    if (names !== undefined) return `_stillpoint_names ${[names.list, ...names.more].join(" ")}`;
    if (value.kind === "choice") return `_stillpoint_words ${quoted(value.choices.join(" "))}`;
    return value.kind === "file" ? "_stillpoint_files" : value.kind === "folder" ? "_stillpoint_files -d" : ":";
  };
  const cases = specs.map((spec) => {
    const options = spec.options
      .filter(({ value }) => value.kind !== "none")
      .map((option) => `        ${wordsOf(option).join("|")}) ${values(option.value)}; return ;;`);
    const words = spec.options.flatMap(wordsOf).join(" ");
    const subcommands = spec.subcommands.map(({ name }) => name).join(" ");
    const rest = subcommands === "" ? values(spec.argument) : `_stillpoint_words ${quoted(subcommands)}`;
    return [
      `    ${quoted(pathOf(spec))})`,
      ...(options.length === 0 ? [] : ['      case "$previous" in', ...options, "      esac"]),
      `      if [[ $current == -* ]]; then _stillpoint_words ${quoted(words)}; else ${rest}; fi`,
      "      ;;",
    ].join("\n");
  });
  const groups = groupsOf(specs).map(
    (spec) =>
      `    ${pathOf(spec)}) [[ " ${spec.subcommands.map(({ name }) => name).join(" ")} " == *" \${COMP_WORDS[2]} "* ]] && ((COMP_CWORD > 2)) && verb+=" \${COMP_WORDS[2]}" ;;`,
  );
  return `# Completion of stillpoint for bash. Made from the command line itself; don't edit.

_stillpoint_words() {
  mapfile -t COMPREPLY < <(compgen -W "$1" -- "$current")
}

_stillpoint_files() {
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen \${1:--f} -- "$current")
}

_stillpoint_names() {
  local list=$1
  shift
  _stillpoint_words "$* $(${namesPipeline('"${COMP_WORDS[0]}"', '"$list"')})"
}

_stillpoint() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} verb=
  COMPREPLY=()
  # Bash takes \`--option=value\` for three words.
  if [[ $current == "=" ]]; then current=; elif [[ $previous == "=" ]]; then previous=\${COMP_WORDS[COMP_CWORD - 2]}; fi
  ((COMP_CWORD > 1)) && verb=\${COMP_WORDS[1]}
  case "$verb" in
${groups.join("\n")}
  esac
  case "$verb" in
${cases.join("\n")}
  esac
}

complete -F _stillpoint stillpoint
`;
}

function zshCompletion(specs: readonly CommandSpec[]): string {
  const plain = (text: string): string => text.replaceAll(/[[\]:\\]/g, (character) => `\\${character}`);
  const values = (value: Value): string => {
    const names = namesOf(value);
    if (names !== undefined) return `:${value.kind}:{_stillpoint_names ${[names.list, ...names.more].join(" ")}}`;
    if (value.kind === "choice") return `:value:(${value.choices.join(" ")})`;
    if (value.kind === "none") return "";
    return value.kind === "file" ? ":file:_files" : value.kind === "folder" ? ":folder:_files -/" : ":value: ";
  };
  const option = (spec: OptionSpec): string[] =>
    wordsOf(spec).map((word) => quoted(`${word}[${plain(spec.description)}]${values(spec.value)}`));
  const cases = specs.map((spec) => {
    const list = spec.subcommands.map(({ name, summary }) => quoted(`${name}:${summary}`));
    const rest =
      list.length > 0
        ? quoted("1:verb:_stillpoint_verbs")
        : spec.argument.kind === "none"
          ? undefined
          : quoted(`*${values(spec.argument)}`);
    const verbs = list.length === 0 ? [] : [`      verbs=(${list.join(" ")})`];
    const words = [...spec.options.flatMap(option), ...(rest === undefined ? [] : [rest])];
    return [
      `    ${quoted(pathOf(spec))})`,
      ...verbs,
      `      _arguments ${words.join(" \\\n        ")}`,
      "      ;;",
    ].join("\n");
  });
  const groups = groupsOf(specs).flatMap((spec) =>
    spec.subcommands.map(({ name }) => quoted(`${pathOf(spec)} ${name}`)),
  );
  return `#compdef stillpoint
# Completion of stillpoint for zsh. Made from the command line itself; don't edit.

_stillpoint_names() {
  local list=$1
  shift
  local -a names=($@ \${(f)"$(${namesPipeline('"$program"', '"$list"')})"})
  compadd -a names
}

_stillpoint_verbs() {
  _describe -t verbs verb verbs
}

_stillpoint() {
  local program=$words[1] verb=
  local -a verbs nested=(${groups.join(" ")})
  if ((CURRENT > 2)); then
    verb=$words[2]
    shift words
    ((CURRENT--))
    if ((CURRENT > 2)) && ((\${nested[(Ie)$verb $words[2]]})); then
      verb+=" $words[2]"
      shift words
      ((CURRENT--))
    fi
  fi
  case $verb in
${cases.join("\n")}
  esac
}

_stillpoint "$@"
`;
}

function fishCompletion(specs: readonly CommandSpec[]): string {
  const values = (value: Value): string => {
    const names = namesOf(value);
    if (names !== undefined) return ` -x -a ${quoted(`(__stillpoint_names ${[names.list, ...names.more].join(" ")})`)}`;
    if (value.kind === "choice") return ` -x -a ${quoted(value.choices.join(" "))}`;
    if (value.kind === "file") return " -r -F";
    return value.kind === "folder" ? " -x -a '(__fish_complete_directories)'" : " -x";
  };
  const lines = specs.flatMap((spec) => {
    const at = `complete -c stillpoint -n ${quoted(`__stillpoint_at ${spec.path.length} ${pathOf(spec)}`.trim())}`;
    return [
      ...spec.subcommands.map(({ name, summary }) => `${at} -a ${name} -d ${quoted(summary)}`),
      ...spec.options.map(({ short, long, description, value }) => {
        const letter = short === undefined ? "" : ` -s ${short.slice(1)}`;
        const takes = value.kind === "none" ? "" : values(value);
        return `${at}${letter} -l ${long.slice(2)}${takes} -d ${quoted(description)}`;
      }),
      ...(["none", "anything"].includes(spec.argument.kind) ? [] : [`${at}${values(spec.argument)}`]),
    ];
  });
  const groups = groupsOf(specs).map(
    (spec) =>
      `        case ${pathOf(spec)}\n            set names ${spec.subcommands.map(({ name }) => name).join(" ")}`,
  );
  return `# Completion of stillpoint for fish. Made from the command line itself; don't edit.

function __stillpoint_names
    set -l program (commandline -opc)[1]
    test (count $argv) -gt 1; and printf '%s\\n' $argv[2..]
    set -l list $argv[1]
    ${namesPipeline("$program", "$list")}
end

# Whether the words so far name this verb: how many words that takes, and which.
function __stillpoint_at
    set -l words (commandline -opc)[2..]
    set -l names
    switch "$words[1]"
${groups.join("\n")}
    end
    set -l depth 0
    test (count $words) -gt 0; and set depth 1
    test (count $words) -gt 1; and contains -- $words[2] $names; and set depth 2
    test $depth -eq $argv[1]; or return 1
    test $depth -eq 0; and return 0
    test "$words[1..$depth]" = "$argv[2..]"
end

complete -c stillpoint -f
${lines.join("\n")}
`;
}
