// The accessibility tree that Firefox hands to screen readers, from its own process (nsIAccessible), for the page that lies in front.
// Playwright has no words for it; the connection below it speaks WebDriver BiDi, which lets the browser's own window be asked.

/* Runs in the browser's window. Labels come with a delay from the page's process: asking for them makes them come. */
const walk = async (address) => {
  const service = Cc['@mozilla.org/accessibilityService;1'].getService(Ci.nsIAccessibilityService);
  const windows = [...Services.wm.getEnumerator('navigator:browser')];
  const tab = windows.flatMap((each) => [...each.gBrowser.tabs]).find((each) => each.linkedBrowser.currentURI.spec === address);
  const top = tab && service.getAccessibleFor(tab.linkedBrowser);
  const read = (node) => {
    const state = {}, more = {}, children = [];
    node.getState(state, more);
    for (let child = node.firstChild; child; child = child.nextSibling) children.push(read(child));
    const has = (bit) => Boolean(state.value & Ci.nsIAccessibleStates[bit]);
    return { role: service.getStringRole(node.role), name: (node.name ?? '').trim(), focusable: has('STATE_FOCUSABLE'),
      hidden: has('STATE_INVISIBLE'), expanded: has('STATE_EXPANDED'), checked: has('STATE_CHECKED'), children };
  };
  return JSON.stringify(top ? read(top) : null);
};

export async function accessibilityTree(page) {
  const { _browserSession: session } = page._connection.toImpl(page).browserContext._browser;
  const { contexts } = await session.send('browsingContext.getTree', { 'moz:scope': 'chrome' });
  for (const { context, url } of contexts.filter((each) => each.url.endsWith('/browser.xhtml'))) {
    const { result } = await session.send('script.evaluate', { target: { context }, awaitPromise: true, expression: `(${walk})(${JSON.stringify(page.url())})` });
    const tree = result && JSON.parse(result.value);
    if (tree) return tree;
    if (!result) throw new Error(`the browser's window at ${url} does not answer`);
  }
  return null;
}

/** All nodes of a tree, in the order in which they are read. */
export const flat = (node) => [node, ...node.children.flatMap(flat)];
