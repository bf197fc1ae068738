// The report's panels: their colours, what they export, two heads and two stores side by side, help, paper.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { isFirefox, openBrowser, saved, watchedPage } from './browser.mjs';
import { classes, clipspan, data, folder, model, pool } from './data.mjs';
import { accessibilityFaults, foreignTo, sidewaysScroll } from './faults.mjs';

let made, context, beside, alone;
before(async () => {
  made = data();
  beside = join(folder, 'beside.html');
  const moments = join(folder, 'moments.store');
  clipspan('decompose', model, join(made.images, 'labels.csv'), '-o', moments, '--moments', '--limit', '200', '--quiet');
  clipspan('report', made.store, '--beside', moments, '-o', beside, '--texts', pool, '--quiet');
  alone = join(folder, 'moments.html');
  clipspan('report', moments, '-o', alone, '--texts', pool, '--quiet');
  context = await openBrowser({ viewport: { width: 1280, height: 900 }, colorScheme: 'light' });
});
after(() => context?.close());

async function open(path, hash = '') {
  const { page, faults } = await watchedPage(context);
  await page.goto(pathToFileURL(path).href + hash);
  await page.locator('table[role=grid]').first().waitFor();
  return { page, faults };
}
const embedded = (page) => page.evaluate(() => JSON.parse(document.getElementById('data').textContent));
const sectionOf = (doc, kind, side = 0) => doc.sides[side].sections.find((s) => s.kind === kind)?.data;
const cell = (page, name, side = 0) => {
  const [, l, h] = /^L(\d+)\.H(\d+)$/.exec(name);
  return page.locator('table[role=grid]').nth(side).locator(`td[data-l="${l}"][data-h="${h}"]`);
};
const article = (page, name) => page.getByRole('article', { name: `Head ${name}`, exact: true });

/* The files of one menu, by the item's words; all, or those named. */
async function exported(page, menu, ...named) {
  await menu.click();
  const items = await menu.locator('xpath=..').getByRole('menuitem').allInnerTexts(), files = {};
  await page.keyboard.press('Escape');
  for (const item of items.filter((words) => (named.length ? named.includes(words) : !words.startsWith('Copy')))) {
    await menu.click();
    files[item] = (await saved(page, () => menu.locator('xpath=..').getByRole('menuitem', { name: item, exact: true }).click())).bytes;
  }
  return files;
}

describe('the panels of the report', () => {
  test('have the colours that the command draws', async () => {
    const out = join(folder, 'figures');
    clipspan('figure', made.store, '-o', out, '--texts', pool, '--only', 'grid', '--format', 'svg', ...classes('shape'), '--quiet');
    const { page } = await open(made.report);
    for (const [way, file] of [['share', 'grid-variance.svg'], ['effect', 'grid-effect.svg']]) {
      await page.locator(`.switch input[value=${way}]`).first().check();
      const shown = await page.locator('table[role=grid]').first().locator('tbody td').evaluateAll((cells) =>
        cells.map((c) => /\((\d+), (\d+), (\d+)\)/.exec(getComputedStyle(c).backgroundColor).slice(1).map(Number)));
      const drawn = [...readFileSync(join(out, file), 'utf8').matchAll(/<path style="[^"]*fill:rgb\(([\d.]+)%,([\d.]+)%,([\d.]+)%\)/g)]
        .map((found) => found.slice(1).map((share) => Math.round(2.55 * Number(share)))).slice(0, shown.length);
      assert.deepEqual(shown, drawn, file);
      assert.ok(new Set(shown.map(String)).size > shown.length / 2, 'nearly all cells have one colour');
    }
    await page.close();
  });

  test('are dark in the dark theme where there is little, and light on paper and in files', async () => {
    const { page, faults } = await open(made.report, '#colour=share');
    const cells = page.locator('table[role=grid] tbody td');
    const colours = () => cells.evaluateAll((all) => all.map((c) => getComputedStyle(c).backgroundColor));
    const bright = (colour) => /\((\d+), (\d+), (\d+)\)/.exec(colour).slice(1).map(Number).reduce((a, b) => a + b) / 3;
    const light = await colours(), drawing = () => exported(page, page.locator('.explorer .save-open').first(), 'Drawing, SVG');
    const before = await drawing();
    const shares = sectionOf(await embedded(page), 'heads').heads.map((h) => h.share), most = shares.indexOf(Math.max(...shares));
    const least = shares.indexOf(Math.min(...shares));
    assert.ok(bright(light[least]) > 230 && bright(light[most]) < 90);
    await page.getByRole('button', { name: 'Use the dark theme' }).click();
    const dark = await colours();
    assert.ok(bright(dark[least]) < 60 && bright(dark[most]) > 180, `${dark[least]} ${dark[most]}`);
    assert.match(before['Drawing, SVG'].toString(), /<svg/);
    assert.deepEqual(await drawing(), before);
    if (!isFirefox) { /* which shows paper to nobody but printers */
      await page.emulateMedia({ media: 'print' });
      assert.deepEqual(await colours(), light);
    }
    await page.evaluate(() => localStorage.clear());
    assert.deepEqual(faults, []);
    await page.close();
  });

  test('are light, and read, in browsers without two themes or popovers', async () => {
    const old = join(folder, 'old.html');
    writeFileSync(old, readFileSync(made.report, 'utf8').replaceAll('light-dark(', 'unknown-dark(').replaceAll(':popover-open', ':unknown'));
    const { page, faults } = await open(old, '#colour=share');
    await page.emulateMedia({ colorScheme: 'dark' });
    assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), 'rgb(251, 250, 248)');
    assert.match(await page.locator('table[role=grid] tbody td').first().evaluate((c) => getComputedStyle(c).backgroundColor), /^rgb\(2[34]/);
    assert.equal(await page.locator('#theme').count(), 0);
    assert.equal(await page.locator('.word-note:visible').count(), 0);
    await page.evaluate(() => scrollBy(0, 300));
    assert.deepEqual(faults, []);
    await page.close();
  });

  test('are saved whole: what stands on the right is there too', async () => {
    const { page } = await open(made.report);
    const at = await page.locator('#classes .pair > *').nth(1).locator('tbody th').first().evaluate((cell) => {
      const range = document.createRange(), body = cell.closest('.panel-body').getBoundingClientRect();
      range.selectNodeContents(cell);
      const box = range.getBoundingClientRect();
      return [box.left - body.left, box.top - body.top, box.width, box.height].map((v, i) => 2 * (v + (i < 2 ? 16 : 0)));
    });
    const png = (await exported(page, page.locator('#classes .save-open'), 'Picture, PNG'))['Picture, PNG'];
    const ink = await page.evaluate(async ({ base64, at }) => {
      const image = Object.assign(new Image(), { src: `data:image/png;base64,${base64}` });
      await image.decode();
      const context = Object.assign(document.createElement('canvas'), { width: image.width, height: image.height }).getContext('2d');
      context.drawImage(image, 0, 0);
      return context.getImageData(...at).data.reduce((dark, value, i) => dark + (i % 4 === 0 && value < 100 ? 1 : 0), 0);
    }, { base64: png.toString('base64'), at });
    assert.ok(ink > 100, `${ink} dark pixels where the first confusion stands`);
    await page.close();
  });

  test('hold any words: long ones, from right to left, markup, none known', async () => {
    const odd = join(folder, 'odd.html'), source = readFileSync(made.report, 'utf8');
    const [whole, start, json, end] = /(<script type="application\/json" id="data">)([^]*?)(<\/script>)/.exec(source), doc = JSON.parse(json);
    const words = ['<b>bold</b>', 'x'.repeat(200), '\u0646\u0635 \u0637\u0648\u064a\u0644', 'words, '.repeat(40), '=1+1'];
    const { heads } = sectionOf(doc, 'heads');
    for (const head of heads) head.texts.forEach((t, i) => { t.text = words[i % words.length]; });
    heads.forEach((head, i) => { if (i % 3 === 0) head.share = null; });
    for (const c of sectionOf(doc, 'classify').classes) c.name = `${words[1]} ${words[0]}`;
    doc.title = `${words[0]} ${words[1]}`;
    writeFileSync(odd, source.replace(whole, () => start + JSON.stringify(doc).replace(/</g, '\\u003c') + end));
    const { page, faults } = await open(odd, '#head=L4.H3');
    for (const width of [1280, 360]) {
      await page.setViewportSize({ width, height: 800 });
      assert.equal(await sidewaysScroll(page), 0, `${width}`);
    }
    assert.equal(await page.locator('b').count(), 0);
    assert.equal(await page.locator('.notice.failed').count(), 0);
    assert.deepEqual(faults, []);
    await page.close();
  });

  test('say the value of each cell', async () => {
    const { page } = await open(made.report, '#colour=share');
    const doc = sectionOf(await embedded(page), 'heads');
    for (const head of doc.heads.filter((_, i) => i % 7 === 0))
      assert.match(await cell(page, head.name).getAttribute('aria-label'), new RegExp(`^${head.name}: ${(100 * head.share).toFixed(1)}.% of all heads' variance`));
    await page.close();
  });

  test('put two heads beside each other, by keys and by finger, and send them', async () => {
    const { page, faults } = await open(made.report, '#head=L4.H3');
    await cell(page, 'L5.H5').focus();
    await page.keyboard.press('Shift+Enter');
    await article(page, 'L5.H5').waitFor();
    await article(page, 'L4.H3').waitFor();
    assert.match(page.url(), /#head=L4\.H3&with=L5\.H5$/);
    const [first, second] = await page.locator('article.head').evaluateAll((all) => all.map((a) => a.getBoundingClientRect().toJSON()));
    assert.equal(first.top, second.top);
    assert.ok(second.left >= first.right);
    const scales = await page.locator('.head-maps .legend-ends').allInnerTexts();
    assert.equal(scales.length, 2);
    assert.equal(scales[0], scales[1]);
    await article(page, 'L5.H5').getByRole('button', { name: 'Close' }).click();
    assert.equal(await article(page, 'L5.H5').count(), 0);
    const compare = page.getByRole('button', { name: 'Compare' });
    await compare.click();
    await page.keyboard.press('Escape');
    assert.equal(await compare.getAttribute('aria-pressed'), 'false');
    await compare.click();
    await cell(page, 'L3.H0').click();
    await article(page, 'L3.H0').waitFor();
    assert.match(page.url(), /#head=L4\.H3&with=L3\.H0$/);
    assert.deepEqual(faults, []);
    await page.close();
  });

  test('export what they show', async () => {
    const { page, faults } = await open(made.report, '#head=L4.H3');
    const menus = page.locator('.save-open'), seen = new Set();
    for (let i = 0; i < await menus.count(); i++) {
      const files = await exported(page, menus.nth(i)), name = await menus.nth(i).getAttribute('aria-label');
      assert.ok(!seen.has(name) || name.includes('nearest'), `two menus are called ${name}`);
      seen.add(name);
      assert.equal(files['Picture, PNG'].subarray(1, 4).toString(), 'PNG', name);
      assert.ok(files['Picture, PNG'].length > 3000, `${name}: a picture of ${files['Picture, PNG'].length} bytes`);
      assert.ok(files['Table, CSV'].toString().split('\r\n').length > 3, name);
      assert.ok(JSON.parse(files['Data, JSON']), name);
      assert.match(files['Drawing, SVG'].toString(), /^<svg[^>]*xmlns[^]*<text[^]*<\/svg>$/, name);
      assert.deepEqual(foreignTo(files['Drawing, SVG']), [], name);
    }
    assert.ok(seen.size >= 9, `${seen.size} menus`);
    assert.deepEqual(faults, []);
    await page.close();
  });

  test('copy the commands that made them', async () => {
    const { page } = await open(made.report, '#head=L4.H3');
    const commands = (await embedded(page)).sides[0].sections.map((s) => s.command);
    const shown = await page.locator('.made-command code').allTextContents();
    for (const command of commands.filter((c) => !c.startsWith('clipspan map ')))
      assert.ok(shown.includes(command), command);
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    const made1 = page.locator('#ablation .made').first();
    await made1.locator('summary').click();
    await made1.getByRole('button', { name: 'Copy' }).click();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), await made1.locator('code').textContent());
    await page.close();
  });

  test('explain a term where it first stands', async () => {
    const { page } = await open(made.report);
    const word = page.getByRole('button', { name: 'head', exact: true }).first();
    await word.focus();
    await page.keyboard.press('Enter');
    const note = page.locator('[popover]:popover-open');
    assert.match(await note.innerText(), /attention heads of a layer/);
    await page.keyboard.press('Escape');
    assert.equal(await note.count(), 0);
    await page.close();
  });

  test('unfold on paper, and fold again', async () => {
    const { page } = await open(made.report);
    const folded = () => page.locator('details.made:not([open])').count(), before = await folded();
    assert.ok(before > 5);
    await page.evaluate(() => dispatchEvent(new Event('beforeprint')));
    assert.equal(await folded(), 0);
    assert.equal(await page.locator('.all-heads tbody tr').count(), sectionOf(await embedded(page), 'heads').heads.length);
    await page.evaluate(() => dispatchEvent(new Event('afterprint')));
    assert.equal(await folded(), before);
    await page.close();
  });

  test('that cannot be are left out, with a reason and what to do', async () => {
    const { page, faults } = await open(alone), absent = (await embedded(page)).sides[0].absent;
    assert.ok(absent.some((a) => a.kind === 'ablate') && absent.some((a) => a.kind === 'head-maps'));
    assert.deepEqual(await page.locator('main > section').evaluateAll((all) => all.map((s) => s.id)), ['first', 'heads', 'about']);
    assert.equal(await page.locator('#about .plain-list li').count(), absent.length);
    const words = await page.locator('#about').innerText();
    assert.match(words, /What layers and heads are worth: The store/);
    assert.match(words, /again without --moments/);
    assert.deepEqual(await accessibilityFaults(page, { all: true }), []);
    assert.deepEqual(faults, []);
    await page.close();
  });

  test('stand beside those of another store, which keeps moments alone', async () => {
    const { page, faults } = await open(beside);
    const doc = await embedded(page);
    assert.equal(doc.sides.length, 2);
    assert.equal(await page.locator('table[role=grid]').count(), 2);
    assert.equal(await page.locator('#glance dd').count(), 2 * await page.locator('#glance dt').count());
    await cell(page, 'L2.H2', 0).click();
    await cell(page, 'L3.H3', 1).click();
    await article(page, 'L2.H2').waitFor();
    const other = article(page, 'L3.H3');
    await other.waitFor();
    assert.match(page.url(), /#head=L2\.H2&head2=L3\.H3$/);
    const texts = sectionOf(doc, 'heads', 1).heads.find((h) => h.name === 'L3.H3').texts;
    for (const { text } of texts) assert.ok((await other.innerText()).includes(text), text);
    assert.match(await other.innerText(), /moments alone/);
    assert.equal(await page.locator('.notice.failed').count(), 0);
    assert.deepEqual(await accessibilityFaults(page, { all: true }), []);
    assert.equal(await sidewaysScroll(page), 0);
    assert.deepEqual(faults, []);
    await page.close();
  });
});
