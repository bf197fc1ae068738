// The browser of the tests, without a network of its own: Debian's Chromium, or its Firefox with CLIPSPAN_BROWSER=firefox.
// Playwright drives both; of Firefox as it is shipped, through WebDriver BiDi, it does not see every download, step back or
// dark theme, so tests ask for these here.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, firefox } from 'playwright-core';

export const isFirefox = process.env.CLIPSPAN_BROWSER === 'firefox';
const CHROMIUM = { name: 'Chromium', path: process.env.CHROMIUM, places: ['/usr/bin/chromium', '/usr/bin/chromium-browser'] };
const FIREFOX = { name: 'Firefox', path: process.env.FIREFOX, places: ['/usr/bin/firefox-esr', '/usr/bin/firefox'] };
const quiet = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

function find({ name, path, places }) {
  const found = path ?? places.find(existsSync);
  if (!found) throw new Error(`no ${name}: scripts/deps web installs it, or set ${name.toUpperCase()}`);
  return found;
}

const emptyFolder = () => mkdtempSync(join(tmpdir(), 'clipspan-web-'));

/** A browser context with an empty profile. options: playwright's (viewport, colorScheme, ...). Close it when done. */
export async function openBrowser(options = {}) {
  if (!isFirefox)
    return chromium.launchPersistentContext(emptyFolder(), { executablePath: find(CHROMIUM), headless: true, args: quiet, ...options });
  const browser = await firefox.launch({ channel: 'moz-firefox', executablePath: find(FIREFOX), headless: true, downloadsPath: downloads,
    args: ['--remote-allow-system-access'], /* for its accessibility tree */
    firefoxUserPrefs: { 'layout.css.prefers-color-scheme.content-override': options.colorScheme === 'dark' ? 0 : 1 } });
  const context = await browser.newContext(options);
  context.on('close', () => browser.close());
  return context;
}

/** A page that keeps what must not happen: console errors, exceptions, requests to anywhere but `allowed` origins. */
export async function watchedPage(context, allowed = []) {
  const page = await context.newPage();
  const faults = [];
  page.on('console', (message) => message.type() === 'error' && faults.push(`console: ${message.text()}`));
  page.on('pageerror', (error) => faults.push(`exception: ${error.message}`));
  page.on('request', (request) => {
    const url = request.url();
    const inside = /^(data|blob|file|about):/.test(url) || allowed.some((origin) => url.startsWith(`${origin}/`));
    if (!inside) faults.push(`outside request: ${url}`);
  });
  return { page, faults };
}

const downloads = isFirefox ? emptyFolder() : null;
process.on('exit', () => downloads && rmSync(downloads, { recursive: true, force: true }));

/* The file in Firefox's folder when it is whole: beside it lies a .part as long as it is not. */
async function arrived() {
  for (let i = 0; i < 300; i++) {
    const names = readdirSync(downloads), [name] = names.filter((each) => !each.endsWith('.part'));
    if (name && names.length === 1 && statSync(join(downloads, name)).size > 0) return name;
    await new Promise((on) => setTimeout(on, 50));
  }
  throw new Error('no file was saved');
}

/** What is saved when act() is done: {name, bytes}. */
export async function saved(page, act) {
  if (!isFirefox) {
    const [download] = await Promise.all([page.waitForEvent('download'), act()]);
    return { name: download.suggestedFilename(), bytes: readFileSync(await download.path()) };
  }
  await act();
  const name = await arrived(), bytes = readFileSync(join(downloads, name));
  rmSync(join(downloads, name));
  return { name, bytes };
}

/** One step back, within the page. */
export const back = (page) => (isFirefox ? page.evaluate(() => history.back()) : page.goBack());

/** The page in its dark theme, as the system asks for it; in Firefox as the page's own button does. */
export const darken = (page) => (isFirefox ? page.evaluate(() => { document.documentElement.dataset.theme = 'dark'; })
  : page.emulateMedia({ colorScheme: 'dark' }));
