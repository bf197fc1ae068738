// What Firefox tells a screen reader of both pages: its own accessibility tree, held against what a reader needs.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { isFirefox, openBrowser, watchedPage } from './browser.mjs';
import { data, model, pool } from './data.mjs';
import { serve } from './serving.mjs';
import { accessibilityTree, flat } from './tree.mjs';

const VIEW = `#image=row:66&texts=${encodeURIComponent('a ring\na heart\nsnow')}&head=L4.H3&off=L5.H0&beside=text&other=a+star`;
const skip = !isFirefox && 'it is Firefox that is asked';
let made, server, context;
before(async () => {
  if (skip) return;
  made = data();
  server = await serve([model, made.store, '--texts', pool]);
  context = await openBrowser({ viewport: { width: 1280, height: 900 }, colorScheme: 'light' });
});
after(async () => {
  await context?.close();
  await server?.stop();
});

const unnamed = (nodes) => nodes.filter((node) => node.focusable && !node.name && !['internal frame', 'document', 'landmark', 'section'].includes(node.role));
/* The tree when its names have come from the page's process, and `ready` holds of it. */
async function treeOf(page, ready) {
  let nodes = [];
  for (let i = 0; i < 60; i++) {
    const tree = await accessibilityTree(page);
    nodes = tree ? flat(tree) : [];
    if (nodes.length && !unnamed(nodes).length && ready(nodes)) return nodes;
    await page.waitForTimeout(250);
  }
  assert.fail(`of ${nodes.length} nodes are without a name: ${unnamed(nodes).map((node) => node.role).join(', ')}; or what is waited for is not there`);
}
const named = (nodes, role) => nodes.filter((node) => node.role === role).map((node) => node.name);

describe('what Firefox reads out', { skip }, () => {
  test('of the report: parts, grid, charts as one picture each', async () => {
    const { page, faults } = await watchedPage(context);
    await page.goto(`${pathToFileURL(made.report).href}#head=L4.H3`);
    const nodes = await treeOf(page, (all) => named(all, 'gridcell').length === 36);
    for (const part of ['All heads', 'What layers and heads are worth', 'What heads can tell apart', 'Zero-shot classification', 'Groups, before and after', 'Nearest images, head by head', 'From maps to masks'])
      assert.ok(named(nodes, 'region').includes(part) && named(nodes, 'heading').includes(part), part);
    assert.deepEqual(named(nodes, 'grid'), ['Heads of clipspan-demo']);
    assert.equal(named(nodes, 'gridcell').filter((name) => /^L4\.H3: .* of all heads' variance, open$/u.test(name)).length, 1);
    const charts = nodes.filter((node) => node.role === 'graphic' && /The numbers are in the table below|over all heads/u.test(node.name));
    assert.ok(charts.length >= 8, `${charts.length} charts`);
    assert.deepEqual(charts.flatMap((chart) => flat(chart).slice(1)).map((node) => `${node.role} ${node.name}`), [], 'no bar is read out on its own');
    assert.deepEqual(named(nodes, 'radiobutton'), ['share of variance', 'direct effect', 'role']);
    assert.ok(named(nodes, 'slider').includes('Map over picture'));
    assert.ok(named(nodes, 'summary').every((name) => /^\p{Letter}/u.test(name)), named(nodes, 'summary').join(', '));
    assert.deepEqual(faults, []);
    await page.close();
  });

  test('of the viewer: fields, grids, what is switched off, no control without a name', async () => {
    const { page, faults } = await watchedPage(context, [server.origin]);
    await page.goto(server.url + VIEW);
    await page.locator('.beside-side').nth(1).waitFor();
    const nodes = await treeOf(page, (all) => named(all, 'grid').length === 3 && named(all, 'summary').length >= 7);
    for (const field of ['Text 1', 'Text 2', 'Text 3', 'In the space of', 'The other text', 'Pool of texts', 'Heads']) assert.ok(named(nodes, 'entry').includes(field), field);
    for (const panel of ['Where in the image', 'Which heads', 'Nearest images', 'Side by side']) {
      assert.ok(named(nodes, 'region').includes(panel), panel);
      assert.ok(named(nodes, 'summary').includes(`How it was made : ${panel}`), named(nodes, 'summary').join('; '));
    }
    const cells = named(nodes, 'gridcell').filter((name) => /^L5\.H0: .*switched off$/u.test(name));
    assert.equal(cells.length, 1, 'a head that is off says so');
    assert.ok(named(nodes, 'pushbutton').includes('Another file'), 'a file is chosen by a button of that name');
    assert.ok(named(nodes, 'columnheader').includes('without: direct'));
    assert.deepEqual(faults, []);
    await page.close();
  });

  test('of a menu: that it is one, and open', async () => {
    const { page } = await watchedPage(context);
    await page.goto(`${pathToFileURL(made.report).href}#head=L4.H3`);
    await page.getByRole('button', { name: 'Export: heads', exact: true }).click();
    const nodes = await treeOf(page, (all) => named(all, 'menuitem').length > 0);
    assert.deepEqual(named(nodes, 'menuitem'), ['Picture, PNG', 'Drawing, SVG', 'Table, CSV', 'Data, JSON', 'Copy the command']);
    assert.deepEqual(nodes.filter((node) => node.expanded && node.name === 'Export: heads').length, 1);
    await page.close();
  });
});
