// Where things stand, in either browser: nothing on nothing, nothing cut off, no picture of no size; from desk to phone.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { openBrowser, watchedPage } from './browser.mjs';
import { data, model, pool } from './data.mjs';
import { layoutFaults, sidewaysScroll } from './faults.mjs';
import { serve } from './serving.mjs';

const WIDTHS = [1360, 820, 360];
const VIEW = `#image=row:66&texts=${encodeURIComponent('a ring\na heart\nsnow')}&head=L4.H3&off=L5.H0&beside=text&other=a+star&detail=head`;
let made, server, context;
before(async () => {
  made = data();
  server = await serve([model, made.store, '--texts', pool]);
  context = await openBrowser({ viewport: { width: WIDTHS[0], height: 900 }, colorScheme: 'light' });
});
after(async () => {
  await context?.close();
  await server?.stop();
});

/* Pictures come that otherwise would when one scrolls to them. */
async function allPictures(page, panels) {
  await page.locator(`${panels} img`).evaluateAll((all) => Promise.all(all.map((image) => { image.loading = 'eager'; return image.decode(); })));
}

async function check(page, faults, panels) {
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 900 });
    await allPictures(page, panels);
    assert.deepEqual(await layoutFaults(page, panels), [], `${width} pixels wide`);
    assert.ok(await sidewaysScroll(page) <= 0, `${width} pixels are not enough`);
  }
  assert.deepEqual(faults, []);
  await page.close();
}

describe('the layout', () => {
  test('of the report', async () => {
    const { page, faults } = await watchedPage(context);
    await page.goto(`${pathToFileURL(made.report).href}#head=L4.H3&with=L5.H5`);
    await page.locator('table[role=grid]').first().waitFor();
    await page.locator('details.made, details.numbers-of').evaluateAll((all) => all.forEach((each) => { each.open = true; }));
    await check(page, faults, 'main > section');
  });

  test('of the viewer, with every panel in use', async () => {
    const { page, faults } = await watchedPage(context, [server.origin]);
    await page.goto(server.url + VIEW);
    await page.locator('.beside-side').nth(1).waitFor();
    await page.getByLabel('Pool of texts').fill('a red shape\na blue shape\na small shape\nsnow');
    await page.getByRole('button', { name: 'Find their texts' }).click();
    await page.locator('.span-head').first().waitFor();
    await page.locator('#nearest .tile img').first().waitFor();
    await check(page, faults, '.panels section.panel');
  });
});
