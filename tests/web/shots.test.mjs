// The README's pictures of both pages: in BUILD/web-tests, and with CLIPSPAN_SHOTS=docs there too.
import assert from 'node:assert/strict';
import { copyFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { openBrowser, watchedPage } from './browser.mjs';
import { data, folder, model, pool } from './data.mjs';
import { serve } from './serving.mjs';

async function shoot(name, address, origin, ready) {
  const context = await openBrowser({ viewport: { width: 1280, height: 860 }, colorScheme: 'light' });
  const { page, faults } = await watchedPage(context, origin ? [origin] : []);
  await page.goto(address);
  await ready(page);
  await page.waitForLoadState('networkidle');
  const path = join(folder, `${name}.png`);
  await page.screenshot({ path });
  await context.close();
  assert.deepEqual(faults, []);
  assert.ok(statSync(path).size > 20000);
  if (process.env.CLIPSPAN_SHOTS) copyFileSync(path, join(process.env.CLIPSPAN_SHOTS, `${name}.png`));
}

test('the report is photographed', async () => {
  const { report } = data();
  await shoot('report', pathToFileURL(report).href, null, (page) => page.locator('table[role=grid]').first().waitFor());
});

test('the viewer is photographed', async () => {
  const { store } = data(), server = await serve([model, store, '--texts', pool]);
  try {
    await shoot('viewer', `${server.url}#image=row:66&texts=a+ring%0Aa+heart%0Asnow`, server.origin, async (page) => {
      await page.locator('[role=grid] td').first().waitFor();
      await page.locator('#texts .text.known').nth(2).waitFor();
    });
  } finally {
    await server.stop();
  }
});
