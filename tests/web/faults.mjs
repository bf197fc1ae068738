// What axe-core calls serious or worse on the page as it stands, one line a fault; with { all: true } whatever it calls a fault,
// with WCAG 2.2 AA and what is good practice.
import { createRequire } from 'node:module';

const axe = createRequire(import.meta.url).resolve('axe-core');

const EVERY = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

export async function accessibilityFaults(page, { all = false } = {}) {
  await page.evaluate(() => { window.module = undefined; });
  if (!(await page.evaluate(() => Boolean(window.axe)))) await page.evaluate(await source());
  const rules = all ? { runOnly: EVERY } : {};
  const { violations } = await page.evaluate((rules) => window.axe.run(document, { resultTypes: ['violations'], ...rules }), rules);
  return violations.filter((v) => all || ['serious', 'critical'].includes(v.impact))
    .flatMap((v) => v.nodes.map((n) => `${v.id} (${v.impact}): ${n.target.join(' ')}: ${n.failureSummary.split('\n').slice(1).join(' ').trim()}`));
}

let text = null;
async function source() {
  const { readFile } = await import('node:fs/promises');
  text ??= await readFile(axe, 'utf8');
  return text;
}

/** Places where the page is wider than its window. */
export function sidewaysScroll(page) {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}
