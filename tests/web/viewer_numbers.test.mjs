// The viewer's numbers are the command's, to the last map; and what comes between two models, two servers, two drawings.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openBrowser, watchedPage } from './browser.mjs';
import { build, clipspan, data, folder, model, pool } from './data.mjs';
import { accessibilityFaults } from './faults.mjs';
import { serve } from './serving.mjs';

const ROW = 66, TEXTS = ['an orange shape', 'a ring', 'snow'];
const VIEW = `#image=row:${ROW}&texts=${encodeURIComponent(TEXTS.join('\n'))}`;
let made, server, context;
before(async () => {
  made = data();
  server = await serve([model, made.store, '--beside', model]);
  context = await openBrowser({ viewport: { width: 1360, height: 900 } });
});
after(async () => {
  await context?.close();
  await server?.stop();
});

async function open(hash) {
  const { page, faults } = await watchedPage(context, [server.origin]);
  await page.goto(server.url + hash);
  await page.waitForFunction(() => clipspan.viewer?.server && ['scores', 'maps'].every((name) => clipspan.viewer[name].status === 'ready'));
  return { page, faults };
}
/** What the page shows: the grid's effects, every text's numbers, the maps' values by text and part. */
const shown = (page) => page.evaluate(() => ({
  effects: Object.fromEntries(clipspan.viewer.ranked(clipspan.viewer.effects()).map(({ name, value }) => [name, value])),
  texts: clipspan.viewer.without(clipspan.viewer.off()), scale: clipspan.viewer.model().model.logit_scale,
  maps: clipspan.viewer.maps.answer.images[0].texts.map((text) => text.parts.map((part) => part.values.flat())) }));
const commandMaps = (...more) => JSON.parse(clipspan('map', model, join(made.images, 'labels.csv'), '--rows', String(ROW), '--json', '--quiet', ...more)).images[0].texts;
const texts = TEXTS.flatMap((text) => ['-t', text]);
const effectsOf = (parts) => Object.fromEntries(parts.map((part) => [part.name, part.effect]));

/* The page's engine runs one image at a time, the command's a batch: sums may differ in their last bits. */
const CLOSE = 2e-6;
function near(a, b, what, bound = CLOSE) {
  assert.ok(Math.abs(a - b) <= bound, `${what}: ${a} on the page, ${b} from the command`);
}
function nearAll(a, b, what) {
  assert.deepEqual(Object.keys(a).sort(), Object.keys(b).sort(), what);
  for (const key of Object.keys(b)) near(a[key], b[key], `${what}, ${key}`);
}
function softmax(cosines, scale) {
  const powers = cosines.map((c) => Math.exp(scale * (c - Math.max(...cosines)))), sum = powers.reduce((x, y) => x + y);
  return powers.map((p) => p / sum);
}

describe('the viewer, number by number', () => {
  test('scores, effects and maps are those of clipspan map', async () => {
    const { page, faults } = await open(VIEW), now = await shown(page), wanted = commandMaps(...texts);
    wanted.forEach((text, i) => {
      near(now.texts[i].cosine, text.score, text.text);
      text.parts[0].values.flat().forEach((value, at) => near(now.maps[i][0][at], value, `map of ${text.text}, place ${at}`));
      assert.ok(Math.max(...now.maps[i][0].map(Math.abs)) > 1e-3, 'a map of nearly nothing proves nothing');
    });
    softmax(wanted.map((text) => text.score), now.scale).forEach((p, i) => near(now.texts[i].probability, p, TEXTS[i], 1e-4));
    nearAll(now.effects, effectsOf(commandMaps('-t', TEXTS[0], '--detail', 'head', '--top', '0')[0].parts), 'effects');
    const words = await page.locator('.text-numbers').first().innerText();
    assert.ok(words.includes(wanted[0].score.toFixed(3)), `${words} says ${wanted[0].score}`);
    assert.deepEqual(faults, []);
    await page.close();
  });

  for (const [name, address, option] of [['another text', 'minus=1', ['--minus', TEXTS[1]]], ['the mean of the texts', 'minus=mean', ['--minus-mean']]])
    test(`against ${name}, by head`, async () => {
      const { page, faults } = await open(`${VIEW}&detail=head&${address}`), now = await shown(page);
      const asked = address.endsWith('mean') ? texts : ['-t', TEXTS[0]];
      const { parts } = commandMaps(...asked, ...option, '--detail', 'head', '--top', '0')[0];
      nearAll(now.effects, effectsOf(parts), 'effects');
      parts.forEach((part, i) => part.values.flat().forEach((value, at) => near(now.maps[0][i][at], value, `${part.name}, place ${at}`)));
      assert.equal(await page.locator('#maps [role=grid] canvas').count(), parts.length);
      assert.deepEqual(await accessibilityFaults(page, { all: true }), []);
      assert.deepEqual(faults, []);
      await page.close();
    });

  test('without two heads: cosine less their effects, and the softmax of that', async () => {
    const { page } = await open(`${VIEW}&by=zero&off=L4.H3,L5.H0`), now = await shown(page);
    const cosines = TEXTS.map((text) => {
      const found = commandMaps('-t', text, '--detail', 'head', '--top', '0')[0], effects = effectsOf(found.parts);
      return found.score - effects['L4.H3'] - effects['L5.H0'];
    });
    cosines.forEach((cosine, i) => near(now.texts[i].cosine_off, cosine, TEXTS[i]));
    softmax(cosines, now.scale).forEach((p, i) => near(now.texts[i].probability_off, p, TEXTS[i], 1e-4));
    const answer = await page.evaluate((asked) => clipspan.server.post('scores', { image: clipspan.viewer.held.id, texts: asked, off: 'L4.H3,L5.H0', by: 'mean' }), TEXTS);
    await page.getByRole('radio', { name: 'their mean over the store' }).check({ force: true });
    (await shown(page)).texts.forEach((text, i) => near(text.cosine_off, answer.texts[i].cosine_off, `by the mean, ${text.text}`));
    await page.close();
  });

  test('TextSpan with a pool pasted in is that of clipspan textspan', async () => {
    const { page } = await open(VIEW), file = join(folder, 'pasted.txt');
    writeFileSync(file, ["it's $HOME `in` \\", 'TEXTS', ...readFileSync(pool, 'utf8').split('\n').slice(0, 90)].join('\n'));
    await page.getByLabel('Pool of texts').fill(readFileSync(file, 'utf8'));
    await page.locator('#textspan').getByLabel('Heads').fill('L4.H3,L5.H0');
    await page.getByRole('button', { name: 'Find their texts' }).click();
    await page.locator('.span-head').nth(1).waitFor();
    const heads = await page.locator('.span-head').evaluateAll((all) => all.map((head) => [head.querySelector('h3').textContent, ...[...head.querySelectorAll('tbody th')].map((text) => text.textContent)]));
    const wanted = JSON.parse(clipspan('textspan', made.store, '--texts', file, '--heads', 'L4.H3,L5.H0', '--size', '5', '--json', '--quiet')).heads;
    assert.deepEqual(heads, wanted.map((head) => [head.name, ...head.texts.map((text) => text.text)]));
    const command = await page.locator('#textspan > .panel-made code').textContent(), env = { ...process.env, PATH: `${build}:${process.env.PATH}` };
    const pasted = JSON.parse(execFileSync('sh', ['-c', command.replace(' <<', ' --json --quiet <<')], { env, maxBuffer: 1 << 28, encoding: 'utf8' }));
    assert.deepEqual(pasted.heads, wanted);
    await page.close();
  });

  test('a model without a store beside one with: the same image, the same numbers', async () => {
    const { page, faults } = await open(`${VIEW}&beside=model`);
    await page.locator('.beside-side').nth(1).waitFor();
    const sides = await page.locator('.beside-side').evaluateAll((all) => all.map((side) => [side.querySelector('.facts').innerText, side.querySelector('.ranking').innerText]));
    assert.deepEqual(sides[0], sides[1]);
    await page.locator('#served select').selectOption('1');
    await page.getByText('This model has no store').waitFor();
    assert.deepEqual(faults, []);
    await page.close();
  });

  test('the keyboard stays where it was when lists are drawn anew', async () => {
    const { page } = await open(VIEW);
    for (const control of [page.locator('.ranking input').nth(2), page.locator('.off-chip').first()]) {
      await control.focus();
      await page.keyboard.press('Space');
      assert.ok(await page.evaluate(() => document.activeElement !== document.body && document.querySelector('#heads').contains(document.activeElement)));
    }
    await page.close();
  });

  test('a picture of one’s own is given again when the server no longer holds it', async () => {
    const small = await serve([model, '--held', '2']), { page } = await watchedPage(context, [small.origin]);
    await page.goto(small.url);
    const give = async (name) => {
      await page.locator('#image input[type=file]').setInputFiles(join(made.images, 'images', name));
      await page.waitForFunction((wanted) => clipspan.viewer.held.status === 'ready' && clipspan.viewer.held.name === wanted, name);
    };
    await page.getByLabel('Text 1', { exact: true }).fill('a ring');
    await give('000001.png');
    const scored = () => page.waitForFunction(() => clipspan.viewer.scores.status === 'ready' && clipspan.viewer.maps.status === 'ready' && clipspan.viewer.scores.answer.texts[0].cosine);
    const first = await (await scored()).jsonValue(), address = page.url();
    for (const name of ['000002.png', '000003.png', '000004.png']) await give(name);
    await page.evaluate((to) => { location.hash = new URL(to).hash; }, address);
    await page.waitForFunction(() => clipspan.viewer.held.name === '000001.png');
    await page.getByRole('button', { name: 'Add a text' }).click();
    await page.getByLabel('Text 2', { exact: true }).fill('snow');
    await page.waitForFunction(() => clipspan.viewer.scores.status === 'ready' && clipspan.viewer.scores.asked.length === 2);
    near((await shown(page)).texts[0].cosine, first, 'the same picture');
    await page.close();
    await small.stop();
  });
});
