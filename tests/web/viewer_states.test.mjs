// The viewer where things are odd: another model while answers are on their way, a store of moments, texts of any script, two drops.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { back, openBrowser, watchedPage } from './browser.mjs';
import { build, clipspan, data, folder, model, pool } from './data.mjs';
import { accessibilityFaults, sidewaysScroll } from './faults.mjs';
import { serve } from './serving.mjs';

const VIEW = `#image=row:66&texts=${encodeURIComponent('a ring\na heart\nsnow')}`;
const small = join(folder, 'small'), moments = join(folder, 'moments');
let made, server, context;
before(async () => {
  made = data();
  execFileSync(join(build, 'tests/make_model'), [small, '--layers', '4', '--heads', '4', '--width', '64', '--mlp', '128', '--image', '64', '--patch', '16', '--embed', '64']);
  clipspan('decompose', model, join(made.images, 'labels.csv'), '-o', moments, '--moments', '--limit', '60', '--quiet');
  server = await serve([model, made.store, '--texts', pool, '--beside', small]);
  context = await openBrowser({ viewport: { width: 1280, height: 900 }, colorScheme: 'light' });
});
after(async () => {
  await context?.close();
  await server?.stop();
});

async function open(hash, { at = server, width } = {}) {
  const { page, faults } = await watchedPage(context, [at.origin]);
  if (width) await page.setViewportSize({ width, height: 800 });
  await page.goto(at.url + hash);
  await page.locator('body.ready').waitFor();
  return { page, faults };
}
const settled = (page) => page.waitForFunction(() => ['held', 'scores', 'maps'].every((name) => clipspan.viewer[name].status === 'ready')
  && !document.querySelector('.panel-body[aria-busy], .panel-body > .skeleton'));

describe('the viewer, where things are odd', () => {
  test('a model of another shape, while answers are on their way', async () => {
    const { page, faults } = await open(`${VIEW}&detail=head&head=L5.H3&beside=image&other=row:5`);
    await settled(page);
    await page.route('**/api/**', async (route) => { await new Promise((on) => setTimeout(on, 60)); await route.continue().catch(() => null); });
    for (const to of [1, 0, 1, 0, 1]) {
      await page.evaluate((index) => clipspan.viewer.set({ model: index, image: `row:${60 + index}` }, { step: true }), to);
      await page.waitForTimeout(to ? 40 : 130);
    }
    await settled(page);
    assert.equal(await page.locator('#heads .heads-grid [role=grid] td').count(), 16);
    await back(page);
    await settled(page);
    assert.equal(await page.locator('#heads .heads-grid [role=grid] td').count(), 36);
    assert.equal(await page.locator('#heads article.head').count(), 1, 'what the store says of the head is there again');
    assert.deepEqual(faults, []);
    await page.close();
  });

  test('images that come late are not asked of another model', async () => {
    const { page, faults } = await watchedPage(context, [server.origin]);
    let late = 0;
    await page.route('**/api/rows?*', async (route) => { await new Promise((on) => setTimeout(on, 500)); await route.continue().catch(() => null); late++; });
    await page.goto(server.url);
    await page.locator('.welcome .tile').first().waitFor();
    await page.evaluate(() => clipspan.viewer.set({ model: 1 }));
    await page.getByText('What you will see').waitFor();
    for (let i = 0; i < 100 && !late; i++) await page.waitForTimeout(50);
    await page.waitForLoadState('networkidle');
    assert.ok(late > 0);
    assert.deepEqual(faults, []);
    await page.close();
  });

  test('two models beside each other: grids on one scale, the original picture for both', async () => {
    const { page, faults } = await open(`${VIEW}&beside=model&minus=1`);
    await page.locator('.beside-side').nth(1).waitFor();
    assert.deepEqual(await page.locator('.beside-side').evaluateAll((all) => all.map((side) => side.querySelectorAll('[role=grid] td').length)), [36, 16]);
    const wanted = [model, small].map((path) => JSON.parse(clipspan('map', path, join(made.images, 'labels.csv'), '--rows', '66', '-t', 'a ring', '--minus', 'a heart',
      '--json', '--quiet')).images[0].texts[0].score);
    const said = await page.locator('.beside-side .facts').evaluateAll((all) => all.map((facts) => Number(facts.querySelector('dd').textContent.replace('\u2212', '-'))));
    said.forEach((value, i) => assert.ok(Math.abs(value - wanted[i]) <= 0.005 * Math.abs(wanted[i]) + 1e-6, `${value} on the page, ${wanted[i]} from the command`));
    assert.deepEqual(await accessibilityFaults(page, { all: true }), []);
    assert.deepEqual(faults, []);
    await page.close();
  });

  test('a store of moments: its heads are told, and that its images are not', async () => {
    const other = await serve([model, moments, '--texts', pool]), { page, faults } = await open('', { at: other });
    await page.locator('.telling .said').first().waitFor();
    assert.match(await page.locator('.telling').first().innerText(), /of variance/u);
    await page.getByText('holds moments alone').waitFor();
    assert.deepEqual(faults, []);
    await page.close();
    await other.stop();
  });

  test('of two pictures dropped one after the other the last is shown', async () => {
    const { page } = await open('#texts=a+ring');
    let sent = 0;
    await page.route('**/api/images?*', async (route) => { if (sent++ === 0) await new Promise((on) => setTimeout(on, 400)); await route.continue(); });
    await page.evaluate(async () => {
      const file = (colour, name) => new Promise((done) => {
        const canvas = clipspan.el('canvas', { width: 64, height: 64 }), context = canvas.getContext('2d');
        context.fillStyle = colour;
        context.fillRect(0, 0, 64, 64);
        canvas.toBlob((blob) => done(new File([blob], name, { type: 'image/png' })));
      });
      const first = await file('red', 'first.png'), second = await file('blue', 'second.png'), both = [clipspan.viewer.openFile(first), clipspan.viewer.openFile(second)];
      await Promise.all(both);
    });
    await settled(page);
    assert.equal(await page.evaluate(() => clipspan.viewer.held.name), 'second.png');
    await page.close();
  });

  test('texts of any length and script, many of them, fit on a phone', async () => {
    const texts = [`a ring that lies on ${'Donaudampfschifffahrt'.repeat(5)}`, '\u062d\u0644\u0642\u0629 \u062d\u0645\u0631\u0627\u0621', '\u{1f31f} a star', '<b>bold</b> & "quoted"', ...Array.from({ length: 16 }, (_, i) => `text ${i}`)];
    const { page, faults } = await open(`#image=row:66&texts=${encodeURIComponent(texts.join('\n'))}&minus=mean&detail=head&head=L4.H3&off=L4.H3&beside=text&other=${encodeURIComponent(texts[0])}`, { width: 360 });
    await settled(page);
    assert.ok(await sidewaysScroll(page) <= 0);
    assert.equal(await page.evaluate(() => clipspan.viewer.maps.answer.images[0].texts.length), 1, 'against the mean of twenty, one is answered');
    assert.deepEqual(faults, []);
    await page.close();
  });

  test('a server that comes back with another model shows that one', async () => {
    let mine = await serve([model, made.store]);
    const { page } = await open(VIEW, { at: mine });
    await settled(page);
    const { port } = mine;
    await mine.stop();
    await page.getByLabel('Text 1', { exact: true }).fill('a red shape');
    await page.locator('#reach .notice').waitFor();
    mine = await serve([small], port);
    await page.waitForFunction(() => window.clipspan?.viewer?.server?.models[0].model.layers === 4, null, { timeout: 15000 });
    await page.close();
    await mine.stop();
  });
});
