// The report page: opened from its file, by mouse, finger and keys, in light, dark, narrow and on paper.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { inflateSync } from 'node:zlib';
import { back, darken, openBrowser, saved, watchedPage } from './browser.mjs';
import { build, clipspan, data, folder, pool } from './data.mjs';
import { accessibilityFaults, sidewaysScroll } from './faults.mjs';

let made, address, context;
before(async () => {
  made = data();
  address = pathToFileURL(made.report).href;
  context = await openBrowser({ viewport: { width: 1280, height: 900 }, colorScheme: 'light' });
});
after(() => context?.close());

async function open(hash = '', options = {}) {
  const { page, faults } = await watchedPage(context);
  if (options.width) await page.setViewportSize({ width: options.width, height: options.height ?? 800 });
  await page.goto(address + hash);
  if (options.dark) await darken(page);
  await page.locator('table[role=grid]').first().waitFor();
  return { page, faults };
}
const embedded = (page) => page.evaluate(() => JSON.parse(document.getElementById('data').textContent));
const sectionOf = (doc, kind) => doc.sides[0].sections.find((s) => s.kind === kind);

describe('the report', () => {
  test('is one file of a few megabytes that asks for nothing', async () => {
    assert.ok(statSync(made.report).size < 8e6);
    const { page, faults } = await open();
    const resources = await page.evaluate(() => performance.getEntriesByType('resource').map((r) => r.name).filter((n) => !n.startsWith('data:')));
    assert.deepEqual(resources, []);
    assert.deepEqual(faults, []);
    for (const kind of ['heads', 'attributes', 'ablate', 'groups', 'head-maps', 'segment'])
      assert.ok(sectionOf(await embedded(page), kind), `no section ${kind}`);
    assert.deepEqual((await embedded(page)).sides[0].absent ?? [], []);
    assert.equal(await page.locator('.notice.failed').count(), 0);
    await page.close();
  });

  test('holds the numbers of the commands', async () => {
    const { page } = await open();
    const doc = await embedded(page), heads = sectionOf(doc, 'heads');
    const env = { ...process.env, PATH: `${build}:${process.env.PATH}`, OMP_WAIT_POLICY: 'passive' };
    const printed = JSON.parse(execFileSync('sh', ['-c', `${heads.command} --quiet`], { env, maxBuffer: 1 << 28, encoding: 'utf8' }));
    const short = (path) => [[process.cwd(), ''], [process.env.HOME, '~/']].reduce((short, [folder, name]) =>
      (short.startsWith(`${folder}/`) ? name + short.slice(folder.length + 1) : short), path);
    printed.pool.sources = printed.pool.sources.map(short);
    assert.deepEqual(heads.data, printed);
    const shown = heads.data.heads.at(-1);
    await page.goto(`${address}#head=${shown.name}`);
    const article = page.getByRole('article', { name: `Head ${shown.name}` });
    await article.waitFor();
    const words = await article.innerText();
    for (const t of shown.texts) {
      assert.ok(words.includes(t.text), t.text);
      assert.ok(words.includes((100 * t.explained).toPrecision(2)) || words.includes((100 * t.explained).toFixed(1)), `${t.text}: ${t.explained}`);
    }
    await page.close();
  });

  test('shows top-5 where there are more than five classes', async () => {
    const few = join(folder, 'few.html'), source = readFileSync(made.report, 'utf8');
    const facts = async (at) => {
      const { page } = await watchedPage(context);
      await page.goto(pathToFileURL(at).href);
      const names = await page.locator('#classes dl.facts dt').allTextContents();
      await page.close();
      return names;
    };
    assert.ok((await facts(made.report)).includes('top-5'));
    writeFileSync(few, source.replace(/(<script type="application\/json" id="data">)([^]*?)(<\/script>)/, (all, start, json, end) => {
      const doc = JSON.parse(json), { classes } = sectionOf(doc, 'classify').data;
      classes.length = 5;
      return start + JSON.stringify(doc).replaceAll('<', '\\u003c') + end;
    }));
    assert.ok((await facts(few)).includes('top-1') && !(await facts(few)).includes('top-5'));
  });

  test('opens every head by mouse', async () => {
    const { page, faults } = await open();
    const names = sectionOf(await embedded(page), 'heads').data.heads.map((h) => h.name);
    const cells = page.locator('table[role=grid]').first().locator('tbody td');
    assert.equal(await cells.count(), names.length);
    for (const [i, name] of names.entries()) {
      await cells.nth(i).click();
      const article = page.getByRole('article', { name: `Head ${name}`, exact: true });
      await article.waitFor();
      assert.ok(await article.locator('table.texts tbody tr').count() > 0, `${name} shows no texts`);
      assert.match(page.url(), new RegExp(`head=${name.replace('.', '\\.')}`));
    }
    assert.deepEqual(faults, []);
    await page.close();
  });

  test('works from the keyboard alone', async () => {
    const { page, faults } = await open();
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
    const inGrid = () => page.evaluate(() => document.activeElement.matches('[role=grid] td') && document.activeElement.getAttribute('aria-label'));
    for (let i = 0; i < 200 && !(await inGrid()); i++) await page.keyboard.press('Tab');
    assert.ok(await inGrid(), 'Tab does not reach the grid');
    await page.keyboard.press('Control+Home');
    assert.match(await inGrid(), /^L0\.H0:/);
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowRight');
    assert.match(await inGrid(), /^L1\.H1:/);
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.notEqual(outline, 'none');
    await page.keyboard.press('Enter');
    await page.getByRole('article', { name: 'Head L1.H1', exact: true }).waitFor();
    await page.keyboard.press('Control+End');
    await page.keyboard.press('Enter');
    const last = sectionOf(await embedded(page), 'heads').data.heads.at(-1).name;
    await page.getByRole('article', { name: `Head ${last}`, exact: true }).waitFor();
    assert.deepEqual(faults, []);
    await page.close();
  });

  test('keeps its state in the address, and goes back', async () => {
    const { page } = await open('#head=L4.H3');
    await page.getByRole('article', { name: 'Head L4.H3', exact: true }).waitFor();
    await page.locator('table[role=grid]').first().locator('tbody td[data-l="5"][data-h="0"]').click();
    await page.getByRole('article', { name: 'Head L5.H0', exact: true }).waitFor();
    const sent = page.url();
    await back(page);
    await page.getByRole('article', { name: 'Head L4.H3', exact: true }).waitFor();
    const { page: other } = await watchedPage(context);
    await other.goto(sent);
    await other.getByRole('article', { name: 'Head L5.H0', exact: true }).waitFor();
    await other.close();
    await page.close();
  });

  test('gives away what it shows', async () => {
    const { page } = await open('#head=L4.H3');
    const article = page.getByRole('article', { name: 'Head L4.H3', exact: true });
    const menu = article.getByRole('button', { name: 'Export: head-L4.H3' });
    const heads = sectionOf(await embedded(page), 'heads').data.heads, head = heads.find((h) => h.name === 'L4.H3');
    const file = async (item) => {
      await menu.click();
      return (await saved(page, () => page.getByRole('menuitem', { name: item }).click())).bytes;
    };
    const rows = (await file(/csv/i)).toString().trim().split('\r\n');
    assert.equal(rows.length, 1 + head.texts.length);
    assert.ok(rows[1].includes(head.texts[0].text) && rows[1].includes(String(head.texts[0].explained)));
    assert.deepEqual(JSON.parse(await file(/json/i)), head);
    const png = await file(/png/i);
    assert.equal(png.subarray(1, 4).toString(), 'PNG');
    assert.ok(png.length > 20000, `a picture of ${png.length} bytes`);
    await page.close();
  });

  for (const [name, options] of Object.entries({ light: {}, dark: { dark: true }, phone: { width: 360, height: 740 } }))
    test(`has no accessibility fault: ${name}`, async () => {
      const { page } = await open('#head=L4.H3', options);
      await page.getByRole('article', { name: 'Head L4.H3', exact: true }).waitFor();
      assert.deepEqual(await accessibilityFaults(page, { all: true }), []);
      assert.equal(await sidewaysScroll(page), 0, 'wider than the window');
      await page.close();
    });

  test('does not jump while it is drawn', async () => {
    const { page } = await watchedPage(context);
    await page.addInitScript(() => {
      window.shifted = 0;
      new PerformanceObserver((list) => { for (const e of list.getEntries()) window.shifted += e.value; }).observe({ type: 'layout-shift', buffered: true });
    });
    await page.goto(address);
    await page.locator('table[role=grid]').first().waitFor();
    await page.waitForTimeout(500);
    assert.ok((await page.evaluate(() => window.shifted)) < 0.02);
    await page.close();
  });

  test('prints', async () => {
    const { page } = await open('#head=L4.H3');
    const pdf = (await page.pdf({ format: 'A4' })).toString('latin1');
    const inflated = [...pdf.matchAll(/FlateDecode[^]*?stream\r?\n([^]*?)\r?\nendstream/g)].map(([, bytes]) => {
      try { return inflateSync(Buffer.from(bytes, 'latin1')).toString('latin1'); } catch (broken) { return ''; }
    });
    const pages = [pdf, ...inflated].join('\n').match(/\/Type\s*\/Page\b(?!s)/g)?.length ?? 0;
    assert.ok(pages >= 2 && pages <= 60, `${pages} pages`);
    await page.close();
  });

  test('says so when its data is broken', async () => {
    const { page } = await watchedPage(context);
    const broken = join(folder, 'broken.html');
    writeFileSync(broken, readFileSync(made.report, 'utf8').replace('"clipspan report 1"', '"clipspan report 9"'));
    await page.goto(pathToFileURL(broken).href);
    await page.locator('.notice.failed').waitFor();
    assert.match(await page.locator('.notice.failed').innerText(), /clipspan report 9/);
    await page.close();
  });
});
