// A screenshot of a page, for eyes: node tests/web/look.mjs URL_OR_FILE OUT.png [width] [light|dark] [full]
import { pathToFileURL } from 'node:url';
import { openBrowser } from './browser.mjs';

const [target, out, width = '1280', scheme = 'light', full] = process.argv.slice(2);
if (!out) throw new Error('usage: look.mjs URL_OR_FILE OUT.png [width] [light|dark] [full]');
const context = await openBrowser({ viewport: { width: Number(width), height: 900 }, colorScheme: scheme });
const page = await context.newPage();
page.on('console', (message) => console.log(`${message.type()}: ${message.text()}`));
page.on('pageerror', (error) => console.log(`exception: ${error.message}`));
await page.goto(/^https?:/.test(target) ? target : pathToFileURL(target).href, { waitUntil: 'networkidle' });
await page.screenshot({ path: out, fullPage: full === 'full' });
await context.close();
