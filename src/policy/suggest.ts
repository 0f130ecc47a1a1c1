/** The one of `candidates` that was probably meant by `word`; undefined when none is near. */
export function closest(word: string, candidates: Iterable<string>): string | undefined {
  // One slip in a short word, about a third of a long one: more, and the suggestion is noise.
  let limit = Math.max(1, Math.floor(word.length / 3)) + 1;
  let best: string | undefined;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < limit && distance < candidate.length) {
      limit = distance;
      best = candidate;
    }
  }
  return best;
}

/**
 * How many letters must be inserted, removed, replaced or swapped with their neighbour (optimal string alignment:
 * Damerau and Levenshtein's distance, no letter touched twice).
 */
export function editDistance(a: string, b: string): number {
  // Longer words aren't settings or names; this keeps a hostile file from costing quadratic time.
  if (Math.max(a.length, b.length) > 80) return a === b ? 0 : 80;
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      const at = (line: number[], index: number): number => line[index] ?? Number.POSITIVE_INFINITY;
      let cost = Math.min(at(last, column) + 1, at(current, column - 1) + 1, at(last, column - 1) + (same ? 0 : 1));
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (swapped) cost = Math.min(cost, at(beforeLast, column - 2) + 1);
      current.push(cost);
    }
    beforeLast = last;
    last = current;
  }
  return last[b.length] ?? 0;
}
