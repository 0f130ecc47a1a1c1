/**
 * Makes what is shown like what it should be, and touches nothing that is so already: the focus, what is selected, what is
 * unfolded and where one has scrolled to stay.
 */
export function morph(shown: Element, wanted: Element): void {
  morphAttributes(shown, wanted);
  morphChildren(shown, wanted);
}

function morphAttributes(shown: Element, wanted: Element): void {
  for (const name of shown.getAttributeNames()) {
    // Whoever reads unfolds and folds; nothing else does.
    const theirs = name === "open" && shown.nodeName === "DETAILS";
    if (!wanted.hasAttribute(name) && !theirs) shown.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (shown.getAttribute(name) !== value) shown.setAttribute(name, value);
  }
}

/** What is no longer wanted goes, what is new comes in between, and the rest stays where it is: the order of things hardly changes. */
function morphChildren(shown: Element, wanted: Element): void {
  let at = shown.firstChild;
  const children = Array.from(wanted.childNodes);
  for (const [number, child] of children.entries()) {
    while (at !== null && !isSame(at, child) && !isAmong(at, children.slice(number))) at = removed(at);
    if (at === null || !isSame(at, child)) {
      shown.insertBefore(child, at);
      continue;
    }
    if (at instanceof Element && child instanceof Element) morph(at, child);
    else if (at.nodeValue !== child.nodeValue) at.nodeValue = child.nodeValue;
    at = at.nextSibling;
  }
  while (at !== null) at = removed(at);
}

/** Returns the one after it. */
function removed(node: ChildNode): ChildNode | null {
  const next = node.nextSibling;
  node.remove();
  return next;
}

/** Texts don't matter: they are as good when they are new. */
function isAmong(node: ChildNode, wanted: readonly ChildNode[]): boolean {
  return node instanceof Element && wanted.some((one) => isSame(node, one));
}

/** Whether the two stand for the same thing: by id, and by the first of their classes. */
function isSame(a: ChildNode, b: ChildNode): boolean {
  if (a.nodeName !== b.nodeName) return false;
  if (!(a instanceof Element && b instanceof Element)) return true;
  return a.id === b.id && a.classList[0] === b.classList[0];
}
