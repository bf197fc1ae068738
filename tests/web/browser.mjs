// The browser of the tests: Debian's Chromium, without a network of its own.
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const quiet = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

/** A browser context with an empty profile. options: playwright's (viewport, colorScheme, ...). Close it when done. */
export async function openBrowser(options = {}) {
  const executablePath = process.env.CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find(existsSync);
  if (!executablePath) throw new Error('no Chromium: scripts/deps web installs it, or set CHROMIUM');
  const profile = mkdtempSync(join(tmpdir(), 'clipspan-web-'));
  return chromium.launchPersistentContext(profile, { executablePath, headless: true, args: quiet, ...options });
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
