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

/** Places, within what `panels` names, where something lies on its neighbour, is cut off without a way to scroll, or has no size. */
export function layoutFaults(page, panels) {
  return page.evaluate((wanted) => {
    const faults = [], name = (e) => `${e.tagName.toLowerCase()}.${e.getAttribute('class') ?? ''} "${e.textContent.trim().slice(0, 30)}"`;
    const boxOf = (e) => e.getBoundingClientRect(), inSight = (e) => e.checkVisibility() && !e.closest('.visually-hidden, [aria-hidden=true]');
    const scrolls = (e) => { for (let at = e; at; at = at.parentElement) if (/auto|scroll|hidden|clip/.test(getComputedStyle(at).overflowX)) return true; return false; };
    const apart = (all) => all.forEach((a, i) => all.slice(i + 1).forEach((b) => {
      const p = boxOf(a), q = boxOf(b), wide = Math.min(p.right, q.right) - Math.max(p.left, q.left), high = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
      if (wide > 1 && high > 1) faults.push(`${name(a)} and ${name(b)} overlap by ${Math.round(wide)} x ${Math.round(high)}`);
    }));
    const whole = [...document.querySelectorAll(wanted)].filter(inSight);
    apart(whole);
    for (const panel of whole) {
      for (const e of panel.querySelectorAll('img, canvas, svg, figure, table, article')) {
        const { width, height } = boxOf(e);
        if (inSight(e) && (width < 4 || height < 4)) faults.push(`${name(e)} is ${width} x ${height}`);
      }
      for (const e of panel.querySelectorAll('button, th, td, dd, dt, h2, h3, h4, figcaption, legend, pre'))
        if (inSight(e) && e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0 && !scrolls(e)) faults.push(`${name(e)} is cut: ${e.scrollWidth} in ${e.clientWidth}`);
      for (const row of panel.querySelectorAll('.row, .spread, .facts, .tiles, .images, .pair, .beside-sides, .sides, .explorer, .heads-whole'))
        apart([...row.children].filter(inSight));
    }
    return faults;
  }, panels);
}

/** What an SVG file must not hold, since programs for drawings know it not, or only in this page. */
export const foreignTo = (bytes) => bytes.toString().replace(/data:[^"]*/gu, '').match(/foreignObject|light-dark|oklab|var\(|class=|https?:\/\/(?!www\.w3\.org)[^"]*|NaN|Infinity|blob:/gu) ?? [];
