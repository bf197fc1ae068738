// The viewer on the demo's model: what it shows, by mouse and keys. Its numbers: viewer_numbers.test.mjs.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { back, darken, openBrowser, saved, watchedPage } from './browser.mjs';
import { clipspan, data, model, pool } from './data.mjs';
import { accessibilityFaults, foreignTo, sidewaysScroll } from './faults.mjs';
import { serve } from './serving.mjs';

const ROW = 66, TEXTS = ['an orange shape', 'a ring', 'snow'];
const VIEW = `#image=row:${ROW}&texts=${encodeURIComponent(TEXTS.join('\n'))}`;
let made, server, context;

before(async () => {
  made = data();
  server = await serve([model, made.store, '--texts', pool]);
  context = await openBrowser({ viewport: { width: 1360, height: 900 }, colorScheme: 'light', acceptDownloads: true });
});
after(async () => {
  await context?.close();
  await server?.stop();
});

async function open(hash = '', { width, dark, at = server.url } = {}) {
  const { page, faults } = await watchedPage(context, [new URL(at).origin]);
  if (width) await page.setViewportSize({ width, height: 800 });
  await page.goto(at + hash);
  if (dark) await darken(page);
  await page.locator('body.ready').waitFor();
  return { page, faults };
}
/** Waits until everything that was asked for is there. */
const settled = (page) => page.waitForFunction(() => {
  if (!clipspan.viewer?.server) return false;
  const { scores, maps, held } = clipspan.viewer;
  return held.status === 'ready' && scores.status === 'ready' && maps.status === 'ready' && !document.querySelector('.panel-body[aria-busy]');
});
const typed = async (page, place, text) => {
  await page.getByLabel(`Text ${place}`, { exact: true }).fill(text);
  await page.waitForFunction(([i, wanted]) => {
    const { scores, maps } = clipspan.viewer;
    return scores.status === 'ready' && maps.status === 'ready' && scores.asked.some((each) => each.index === i - 1 && each.text === wanted);
  }, [place, text]);
};
const shown = (page) => page.evaluate(() => clipspan.viewer.without(clipspan.viewer.off()));
const commandMap = (...more) => JSON.parse(clipspan('map', model, join(made.images, 'labels.csv'), '--rows', String(ROW), '--json', '--quiet', ...more)).images[0].texts;
const near = (a, b, what, bound = 2e-6) => assert.ok(Math.abs(a - b) <= bound, `${what}: ${a} against ${b}`);
describe('the viewer', () => {
  test('begins with heads worth seeing, in every light and width', async () => {
    for (const how of [{}, { dark: true }, { width: 360 }]) {
      const { page, faults } = await open('', how);
      await page.locator('.telling .tile img').first().waitFor();
      assert.ok(await page.locator('.telling').count() >= 4);
      assert.ok((await page.locator('.telling .said').first().innerText()).length > 3);
      assert.deepEqual(await accessibilityFaults(page, { all: true }), []);
      assert.ok(await sidewaysScroll(page) <= 0);
      assert.deepEqual(faults, []);
      await page.close();
    }
  });

  test('an image of the first page brings its maps and heads', async () => {
    const { page, faults } = await open();
    await page.locator('.telling .tile').first().click();
    await settled(page);
    assert.equal(await page.locator('#heads .grid td').count(), 36);
    assert.ok(await page.locator('#maps .map-colours').isVisible());
    assert.equal(await page.locator('#heads article.head').count(), 1);
    await back(page);
    await page.locator('.telling').first().waitFor();
    assert.ok(await page.locator('.work').isHidden());
    assert.deepEqual(faults, []);
    await page.close();
  });

  test('changes as one types, and shows the last text only', async () => {
    const { page, faults } = await open(VIEW);
    await settled(page);
    const picture = () => page.evaluate(() => document.querySelector('#maps .map-colours').toDataURL());
    const before = await picture();
    await page.getByLabel('Text 1', { exact: true }).fill('');
    await page.getByLabel('Text 1', { exact: true }).pressSequentially('a blue star', { delay: 25 });
    await page.waitForFunction(() => clipspan.viewer.maps.status === 'ready' && clipspan.viewer.maps.asked.texts[0].text === 'a blue star');
    assert.notEqual(await picture(), before);
    near(await page.evaluate(() => clipspan.viewer.maps.answer.images[0].texts[0].score), commandMap('-t', 'a blue star')[0].score, 'a blue star');
    assert.deepEqual(faults, []);
    await page.close();
  });

  test('heads switched off by a click, at once and with the network run again', async () => {
    const { page, faults } = await open(`${VIEW}&by=zero`);
    await settled(page);
    await page.getByRole('radio', { name: 'switches it off' }).check({ force: true });
    await page.locator('#heads td[data-l="5"][data-h="0"]').click();
    await page.locator('#heads td[data-l="4"][data-h="3"]').click();
    assert.equal(await page.locator('#heads td.off').count(), 2);
    assert.match(await page.locator('.text-numbers').first().innerText(), /\s%\s→\s.*\s%/u);
    await page.getByRole('button', { name: 'Run the network without them' }).click();
    await page.getByRole('button', { name: 'Network was run without them' }).waitFor();
    const cells = await page.locator('.without-table tbody tr').first().locator('td').allInnerTexts();
    assert.match(cells[2], /\d\s%$/u);
    assert.notEqual(cells[2], cells[1], 'later layers make something of it');
    await page.getByRole('button', { name: 'All on' }).click();
    assert.equal(await page.locator('#heads td.off').count(), 0);
    assert.deepEqual(faults, []);
    await page.close();
  });

  test('the nearest images are those of clipspan retrieve', async () => {
    const { page } = await open(`${VIEW}&space=L4.H3`);
    await page.locator('#nearest .tile').first().waitFor();
    const rows = (space) => JSON.parse(clipspan('retrieve', made.store, '--row', String(ROW), '--heads', space, '-k', '18', '--json', '--quiet')).spaces[0].nearest.map((each) => each.name);
    const names = () => page.locator('#nearest .tile img').evaluateAll((all) => all.map((image) => image.alt));
    assert.deepEqual(await names(), rows('L4.H3'));
    await page.getByLabel('In the space of').fill('last:1');
    await page.getByLabel('In the space of').press('Enter');
    await page.getByText('in the space of L5').waitFor();
    assert.deepEqual(await names(), rows('last:1'));
    await page.close();
  });

  test('two images, two texts, two heads beside each other', async () => {
    for (const more of ['beside=image&other=row:5', 'beside=text&other=a+star', 'beside=head&other=L4.H3&head=L5.H0']) {
      const { page, faults } = await open(`${VIEW}&${more}`);
      await page.locator('.beside-side').nth(1).waitFor();
      await settled(page);
      assert.equal(await page.locator('#beside .map-colours').count(), 2);
      assert.deepEqual(await accessibilityFaults(page, { all: true }), []);
      assert.deepEqual(faults, []);
      await page.close();
    }
  });

  test('nothing jumps while it loads', async () => {
    for (const hash of ['', `${VIEW}&detail=head&head=L4.H3`]) {
      const { page } = await watchedPage(context, [server.origin]);
      await page.addInitScript(() => {
        window.shifts = 0;
        new PerformanceObserver((list) => list.getEntries().forEach((entry) => { window.shifts += entry.value; })).observe({ type: 'layout-shift', buffered: true });
      });
      await page.goto(server.url + hash);
      await page.locator(hash ? '#nearest .tile img' : '.telling img').first().waitFor();
      if (hash) await settled(page);
      assert.ok(await page.evaluate(() => window.shifts) < 0.02, `${await page.evaluate(() => window.shifts)} of the window moved`);
      await page.close();
    }
  });

  test('says so when the server cannot be reached at first', async () => {
    const { page } = await watchedPage(context, [server.origin]);
    await page.route('**/api/state', (route) => route.abort());
    await page.goto(server.url + VIEW);
    await page.locator('#panels').getByText('The server does not answer').waitFor();
    await page.unroute('**/api/state');
    await page.getByRole('button', { name: 'Try again' }).click();
    await settled(page);
    await page.close();
  });

  test('the address brings back the view', async () => {
    const { page } = await open(VIEW);
    await settled(page);
    await page.getByLabel('Show maps and heads of text 2').check();
    await page.locator('#heads td[data-l="4"][data-h="1"]').click();
    await page.locator('#heads td[data-l="4"][data-h="1"]').press(' ');
    await page.getByRole('radio', { name: 'every layer' }).check({ force: true });
    await typed(page, 3, 'a striped heart');
    await page.waitForFunction(() => location.hash.includes('striped'));
    const state = () => page.evaluate(() => clipspan.viewer.state), before = await state();
    await page.reload();
    await page.locator('body.ready').waitFor();
    await settled(page);
    assert.deepEqual(await state(), before);
    assert.deepEqual([before.look, before.head, before.off, before.detail], [1, 'L4.H1', ['L4.H1'], 'layer']);
    await page.close();
  });

  test('a picture that is dropped, one that cannot be read, one that is gone', async () => {
    const { page, faults } = await open();
    const bytes = readFileSync(join(made.images, 'images', '000066.png')).toString('base64');
    await page.evaluate((base64) => {
      const file = new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], 'mine.png', { type: 'image/png' }), data = new DataTransfer();
      data.items.add(file);
      dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
    }, bytes);
    await page.locator('#image').getByText('mine.png').waitFor();
    await typed(page, 1, TEXTS[0]);
    near((await shown(page))[0].cosine, commandMap('-t', TEXTS[0])[0].score, TEXTS[0]);
    assert.deepEqual(faults, []);
    await page.locator('#image input[type=file]').setInputFiles({ name: 'notes.png', mimeType: 'image/png', buffer: Buffer.from('no picture') });
    await page.locator('#image .notice.failed').waitFor();
    assert.ok(await page.locator('#image img').isVisible(), 'the picture before stays');
    await page.goto(`${server.url}#image=00000000000000000000000000000000&name=old.png&texts=a+ring`);
    await page.locator('#image').getByText('Drop it here again').waitFor();
    assert.deepEqual(await accessibilityFaults(page, { all: true }), []);
    await page.close();
  });

  test('by keys alone', async () => {
    const { page } = await open(VIEW);
    await settled(page);
    const cell = page.locator('#heads td[tabindex="0"]');
    for (let i = 0; i < 80 && !(await cell.evaluate((e) => e === document.activeElement)); i++) await page.keyboard.press('Tab');
    await page.keyboard.press('Control+Home');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.keyboard.press('Space');
    assert.deepEqual(await page.evaluate(() => [clipspan.viewer.state.head, clipspan.viewer.state.off]), ['L1.H1', ['L1.H1']]);
    assert.match(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), /^L1\.H1: .*change in cosine.*switched off, open$/u);
    const box = page.locator('.ranking input').nth(2);
    await box.focus();
    const name = await box.getAttribute('aria-label');
    await page.keyboard.press('Space');
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), name, 'the keyboard stays');
    await page.close();
  });

  test('gives away what it shows', async () => {
    const { page } = await open(`${VIEW}&beside=text&other=a+star&detail=layer`);
    await settled(page);
    await page.locator('.beside-side').nth(1).waitFor();
    await page.getByLabel('Pool of texts').fill('a red shape\na blue shape\nsnow');
    await page.getByRole('button', { name: 'Find their texts' }).click();
    await page.locator('.span-head').first().waitFor();
    const words = { maps: 'change in cosine, by patch', heads: 'for “an orange shape”', nearest: 'Below each: its cosine', beside: 'Strongest heads', textspan: 'of its variance explained' };
    for (const id of Object.keys(words)) for (const [kind, begins] of [['Picture, PNG', '\x89PNG'], ['Drawing, SVG', '<svg'], ['Table, CSV', ''], ['Data, JSON', '']]) {
      await page.locator(`#${id} > .panel-head`).getByText('Export').click();
      const { bytes } = await saved(page, () => page.locator(`#${id} > .panel-head`).getByText(kind).click());
      assert.ok(bytes.length > 60 && bytes.toString('latin1').startsWith(begins), `${id}, ${kind}`);
      if (kind.endsWith('JSON')) JSON.parse(bytes);
      if (kind.endsWith('SVG')) assert.deepEqual([bytes.toString().replace(/[\u2068\u2069]/gu, '').includes(words[id]), foreignTo(bytes)], [true, []], id);
      if (id === 'heads' && kind.endsWith('CSV')) assert.equal(bytes.toString().trim().split('\r\n').length, 37);
    }
    const command = await page.locator('#maps > .panel-made code').textContent();
    assert.match(command, /^clipspan map .* --rows 66 -t 'an orange shape' --detail layer/u);
    await page.close();
  });

  test('says when the server is gone, and goes on when it is back', async () => {
    let mine = await serve([model, made.store]);
    const { page } = await open(VIEW, { at: mine.url });
    await settled(page);
    await mine.stop();
    await page.getByLabel('Text 1', { exact: true }).fill('a red shape');
    await page.locator('#reach .notice').waitFor();
    assert.equal(await page.locator('#heads .grid td').count(), 36, 'what was shown stays');
    mine = await serve([model, made.store], mine.port);
    await page.waitForFunction(() => clipspan.viewer.scores.status === 'ready' && clipspan.viewer.scores.asked[0].text === 'a red shape', null, { timeout: 15000 });
    assert.equal(await page.locator('#reach .notice').count(), 0);
    await page.close();
    await mine.stop();
  });

  test('with a token, and without it', async () => {
    const other = await serve([model, '--token', 'a-test-token']), { page, faults } = await open('', { at: other.url });
    assert.ok(!page.url().includes('token'), page.url());
    await page.locator('#image input[type=file]').setInputFiles(join(made.images, 'images', '000007.png'));
    await typed(page, 1, 'a ring');
    await page.waitForFunction(() => document.querySelector('#image img').naturalWidth > 0);
    assert.deepEqual(await accessibilityFaults(page, { all: true }), []);
    assert.deepEqual(faults, []);
    await page.close();
    await context.clearCookies();
    const bare = await watchedPage(context, [other.origin]);
    await bare.page.goto(`${other.origin}/`);
    await bare.page.getByText('The server asks for its token').waitFor();
    assert.deepEqual(await accessibilityFaults(bare.page), []);
    assert.deepEqual(bare.faults.filter((fault) => !fault.includes('401')), []);
    assert.deepEqual(await context.cookies(), []);
    await bare.page.close();
    assert.equal((await fetch(`${other.origin}/api/state`)).status, 401);
    await other.stop();
  });
});
